"""A model: preprocessing contract, network, labels and card behind one call.

A system is one module of this package with a subclass of :class:`Model` named in ``SYSTEM``. It
states its facts as class attributes and answers four questions: which contract, which weights,
which program, and how its output becomes probabilities. All else is here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .. import _html, weights
from .._typing import Array
from ..errors import LayoutError
from ._card import Card
from ._contract import Contract, Notes
from ._prediction import Prediction

if TYPE_CHECKING:
    from ..explain import Tokens


class Model:
    """Made by :func:`ecgkit.load_model`; immutable, safe to share between threads, picklable.

    ``m(x, fs=None)`` takes a :class:`~ecgkit.Record`, a list of them, or an array in mV: (lead,
    time), or (n, lead, time).
    """

    name: ClassVar[str]
    paper: ClassVar[dict[str, Any]]
    paper_reported: ClassVar[list[dict[str, Any]]]
    task: ClassVar[str]
    labels: ClassVar[tuple[str, ...]]
    variants: ClassVar[dict[str, Sequence[Any]]]
    published: ClassVar[str]
    """Where weights come from if none are bundled; ends the sentence "no bundled weights: ..."."""

    contract: Any
    """A :class:`Contract`, or an :class:`ImageContract` where the network looks at pictures."""
    card: Card
    variant: dict[str, Any]
    weights: str
    """Where the weights come from, in words."""
    fingerprint: str
    """SHA-256 of the weights (:func:`ecgkit.weights.fingerprint`)."""

    batch = 16
    """Recordings per call of the network; a long list or array goes through in pieces of this
    size."""

    def __init__(
        self,
        tensors: Mapping[str, Array],
        variant: Mapping[str, Any],
        contract: Contract,
        card: Card,
        source: str,
    ):
        self.variant = dict(variant)
        self.contract = contract
        self.card = card
        self.weights = source
        wanted = self.expected(**self.variant)
        adopted = self.adopt(weights.unwrap(tensors, wanted))
        checked = weights.check(wanted, adopted, what=self.title)
        self.fingerprint = weights.fingerprint(checked)
        self.parameters = sum(v.size for k, v in checked.items() if not k.endswith(_BUFFERS))
        self._program = self.program(checked)

    # ------------------------------------------------- what a system answers
    @classmethod
    def complete(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """The choices given (each is one of :attr:`variants`) with the defaults of the rest.

        Raises
        ------
        EcgkitError
            Choices that do not go together.
        """
        return {**{key: choices[0] for key, choices in cls.variants.items()}, **given}

    @classmethod
    def variant_of(cls, network: str, contract: Contract) -> dict[str, Any]:
        """All choices of a bundled network, from its name and its contract."""
        return cls.complete({"network": network})

    @classmethod
    def contract_of(cls, *args: Any, **variant: Any) -> Any:
        """The preprocessing of a variant; a system names its choices as parameters."""
        raise NotImplementedError

    @classmethod
    def expected(cls, *args: Any, **variant: Any) -> dict[str, tuple[int, ...]]:
        """Key and shape of every tensor of a variant (parameters as in :meth:`contract_of`), in
        the order of its layers."""
        raise NotImplementedError

    @classmethod
    def infer(cls, tensors: Mapping[str, Array]) -> dict[str, Any]:
        """The choices that the keys of a weight file settle."""
        return {}

    @classmethod
    def stated(cls, path: Path) -> dict[str, Any]:
        """The choices that a weight file states beside its tensors."""
        return {}

    def adopt(self, tensors: Mapping[str, Array]) -> Mapping[str, Array]:
        """The authors' mapping without what their own forward leaves unused."""
        return tensors

    def program(self, tensors: Mapping[str, Array]):
        """The compiled network."""
        raise NotImplementedError

    def classify(self, prepared: Array) -> tuple[Array, Array | None]:
        """Probabilities (n, label), and (n, window, label) where the network has an answer for
        single windows."""
        raise NotImplementedError

    @property
    def mean_of_windows(self) -> bool:
        """The answer is the mean over windows, and no window's answer depends on another's
        samples."""
        return False

    embedding: ClassVar[str] = "features"
    """Name of the tensor that :meth:`embed` returns, averaged over windows where it has them."""

    @classmethod
    def bare_card(cls) -> Card:
        """The card of weights that are not bundled: what the paper says, nothing measured."""
        return Card(cls.name, list(cls.labels), cls.paper, cls.paper_reported)

    # ------------------------------------------------------------------- use
    def __call__(self, x: Any, fs: float | None = None, *, unit: str = "mV") -> Prediction:
        """Preprocess by the contract, run the network.

        Parameters
        ----------
        x : Record, sequence of Record, or array (lead, time) or (n, lead, time)
        fs : float
            Rate in Hz; required for arrays.
        unit : str
            Unit of an array; default mV.

        Returns
        -------
        Prediction

        Raises
        ------
        ContractError, LayoutError, LeadError, RateError, UnitError
            ``x`` breaks :attr:`contract`; the message shows the fix.
        """
        rows: list[Array] = []
        windows: list[Any] = []
        notes: list[Notes] = []
        for signals, said in self._admitted(x, fs, unit):
            p, w = self.classify(self.contract.transform(signals))
            rows.append(p)
            windows.append(w)
            notes.extend(said)
        if not rows:
            return Prediction(
                self.labels, np.zeros((0, len(self.labels)), np.float32), None, (), self.title
            )
        p = np.concatenate(rows)
        w = None if windows[0] is None else np.concatenate(windows)
        if self.contract.is_single(x):
            return Prediction(self.labels, p[0], None if w is None else w[0], notes[0], self.title)
        return Prediction(self.labels, p, w, tuple(notes), self.title)

    def predict_proba(self, x: Any, fs: float | None = None, *, unit: str = "mV") -> Array:
        """The probabilities alone: (label,) for one recording, (n, label) for a batch."""
        return self(x, fs, unit=unit).probabilities

    def preprocess(self, x: Any, fs: float | None = None, *, unit: str = "mV") -> Array:
        """What the network eats: (n, ...) float32, n = 1 for one recording
        (:meth:`Contract.prepare`)."""
        return self.contract.prepare(x, fs, unit=unit)[0]

    def forward(self, prepared: Array, *, taps: Sequence[str] = ()):
        """The network alone.

        Parameters
        ----------
        prepared : ndarray, shape (n, ...)
            From :meth:`preprocess`.
        taps : sequence of str
            Names of intermediate tensors to return.

        Returns
        -------
        ndarray, or dict of str to ndarray if ``taps`` are named (the result under ``"output"``)
        """
        return self._program(prepared, taps=taps)

    def embed(self, x: Any, fs: float | None = None, *, unit: str = "mV") -> Array:
        """The features before the last layer: (feature,) for one recording, (n, feature) for a
        batch."""
        rows = [
            self.features(self.contract.transform(signals))
            for signals, _ in self._admitted(x, fs, unit)
        ]
        if not rows:
            raise LayoutError("no recordings to embed: the batch is empty")
        features = np.concatenate(rows)
        return features[0] if self.contract.is_single(x) else features

    def features(self, prepared: Array) -> Array:
        """What :meth:`embed` returns, of prepared input: (n, feature)."""
        tap = self.forward(prepared, taps=(self.embedding,))[self.embedding]
        return tap.mean(axis=1) if tap.ndim == 3 else tap

    def tokens(self) -> Tokens | None:
        """What the tokens of the attention layers stand for; None where there are none. With it,
        ``explain(method="attention")`` works."""
        return None

    @property
    def attention_program(self):
        """The program whose attention layers :meth:`tokens` speaks of."""
        return self._program

    def attention_windows(self, prepared: Array) -> tuple[Array, Sequence[float]]:
        """What :attr:`attention_program` eats of one prepared recording, and the second that each
        window of it starts at."""
        return prepared, (0.0,)

    @property
    def explanations(self) -> tuple[str, ...]:
        """Methods of :meth:`explain`, the default first."""
        return ("occlusion",) if self.tokens() is None else ("attention", "occlusion")

    def explain(self, x: Any, fs: float | None = None, *, method: str | None = None, **options):
        """What the answer for one recording rests on.

        Parameters
        ----------
        x, fs
            One recording, as for calling the model.
        method : str, optional
            One of :attr:`explanations`; default the first of them.
        **options
            Those of the method, such as ``label=`` and ``unit=``:
            :func:`ecgkit.explain.prototypes`, :func:`ecgkit.explain.attention`,
            :func:`ecgkit.explain.occlusion`.

        Returns
        -------
        Prototypes, Attention or Occlusion
            With the numbers, ``to_frame()`` and ``plot()`` over the ECG paper.
        """
        from .. import explain

        return explain.explain(self, x, fs, method=method, **options)

    # ----------------------------------------------------------------- shown
    @property
    def title(self) -> str:
        """``name(variant=...)``."""
        return f"{self.name}({', '.join(f'{k}={v}' for k, v in self.variant.items())})"

    def _facts(self) -> list[tuple[str, str]]:
        return [
            ("paper", f"{self.paper['title']} ({self.paper['id']})"),
            ("task", self.task),
            ("labels", " ".join(self.labels)),
            ("weights", f"{self.weights}, sha256 {self.fingerprint[:12]}"),
            ("size", f"{self.parameters:,} parameters"),
        ]

    def __repr__(self) -> str:
        head = "\n".join(f"  {name:<11}{text}" for name, text in self._facts())
        return f"{self.title}\n{head}\n{self.contract!r}"

    def _repr_html_(self) -> str:
        facts = _html.table([self.title, ""], self._facts())
        return f"<div>{facts}{self.contract._repr_html_()}</div>"

    # --------------------------------------------------------------- within
    def _admitted(
        self, x: Any, fs: float | None, unit: str
    ) -> Iterator[tuple[Array, tuple[Notes, ...]]]:
        """Admitted signals in pieces of at most ``batch`` recordings; all of an array is checked
        first."""
        if self.contract.is_list(x):
            for i in range(0, len(x), self.batch):
                yield self.contract.admit(x[i : i + self.batch], fs, first=i)
            return
        signals, notes = self.contract.admit(x, fs, unit=unit)
        for i in range(0, len(signals), self.batch):
            yield signals[i : i + self.batch], notes[i : i + self.batch]


_BUFFERS = ("running_mean", "running_var", "positional_encoding")


def random_tensors(expected: Mapping[str, Sequence[int]], seed: int) -> dict[str, Array]:
    """Seeded weights of sane scale (He for matrices, one for scales and variances, else zero): for
    timing and tests."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for key, shape in expected.items():
        fan = int(np.prod(shape[1:]))
        if len(shape) > 1:
            value = rng.normal(0.0, np.sqrt(2.0 / max(fan, 1)), shape)
        elif key.endswith(("weight", "running_var")):
            value = np.ones(shape)
        else:
            value = np.zeros(shape)
        tensors[key] = value.astype(np.float32)
    return tensors
