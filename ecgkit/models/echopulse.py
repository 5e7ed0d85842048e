"""ECHOPulse: an echo clip from one ECG trace (Li et al., ICLR 2025).

Three networks: ST-MEM's ViT reads the ECG, C-ViViT turns video into tokens and back, a transformer
fills in masked tokens, guided by the ECG's vector. The default call is the ECG's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, ClassVar

import numpy as np

from .. import weights as _weights
from .._typing import F32, Array, ArrayLike
from ..errors import EcgkitError, LayoutError, WeightsError
from . import _echopulse_keys as keys
from . import _echopulse_video as video
from ._contract import is_single
from ._echopulse_clip import ClipContract
from ._echopulse_ecg import READ, tower
from ._echopulse_sampling import STEPS, Noise, SamplingStep, sample, seeded
from ._model import Model
from ._steps import Step

COPIES = 16
PREFIX = {"ecg": "encode_ekg.", "tokenizer": "cvivit.", "maskgit": "maskgit."}
PARTS = {"full": tuple(PREFIX), "ecg": ("ecg",), "tokenizer": ("tokenizer",)}
LOSSES = ("loss_fn_lpips.", "i3d.", "discr.")
KEPT = 6  # compiled programs beside the tower


@dataclass(frozen=True, eq=False)
class EchoClip:
    """What :meth:`Echopulse.generate` made.

    Attributes
    ----------
    frames : ndarray, float32, shape (3, frames, height, width)
        About 0..1, as the decoder gives them: not clamped.
    ids : ndarray of int32, shape (T, rows, columns)
        Their tokens.
    seed : int
    notes : tuple of str
        What was done to the ECG.
    """

    frames: F32
    ids: Array
    seed: int
    notes: tuple[str, ...]


class Echopulse(Model):
    """The vector of an ECG (:meth:`embed`), tokens of a video and back, clips from an ECG."""

    name = "echopulse"
    task = "an echo clip from one ECG trace; ECG embeddings; video tokens"
    labels = ()
    paper: ClassVar = {
        "title": "ECHOPulse: ECG controlled echocardiograms video generation",
        "authors": "Y. Li et al.",
        "year": 2025,
        "id": "ICLR 2025, arXiv 2410.03143",
    }
    paper_reported: ClassVar = [
        {
            "model": "domain transfer, ECG and first frame",
            "metric": f"{metric} (as its repository computes it), apical {view} chambers",
            "value": value,
            "data": "private",
            "split": "the authors'",
        }
        for view, values in ((2, (15.50, 82.44, 0.67)), (4, (20.82, 107.40, 0.66)))
        for metric, value in zip(("FID", "FVD", "SSIM"), values)
    ]
    variants: ClassVar = {
        "network": ("ecg", "tokenizer", "full"),
        "size": tuple(keys.SIZES),
        "patch": (8, 16, 32),
        "preprocess": ("trainer", "notebook"),
    }
    published = (
        "the authors publish theirs at huggingface.co/datasets/Levi980623/ECHOTest (the ECG tower "
        "is ST-MEM's, CC BY-NC 4.0)"
    )
    batch = 4

    @classmethod
    def infer(cls, tensors: Mapping[str, Array]) -> dict[str, Any]:
        """Network, size and patch, from keys and shapes."""
        found: dict[str, Any] = {}
        shapes = {k: np.shape(v) for k, v in tensors.items()}

        def shape(ending: str) -> tuple[int, ...]:
            return next((s for k, s in shapes.items() if f".{k}".endswith(f".{ending}")), ())

        if shape("maskgit.token_emb.weight"):
            found["network"] = "full"
        elif shape("vq._codebook.embed"):
            found["network"] = "tokenizer"
        elif shape("sep_embedding"):
            found["network"] = "ecg"
        width, ecg = shape("vq.project_in.weight")[1:], shape("sep_embedding")
        for name, size in keys.SIZES.items():
            if width == (size.width,) or (not width and ecg == (size.ecg_width,)):
                found["size"] = name
        pixels = shape("to_pixels_first_frame.0.weight")
        for patch in cls.variants["patch"]:
            if pixels[:1] == (3 * patch * patch,):
                found["patch"] = patch
        return found

    @classmethod
    def contract_of(cls, network: str, size: str, patch: int, preprocess: str) -> ClipContract:
        """Lead II over the clip, 16 times end to end, on 2250 points: row 2 of twelve, the others
        zero. ``"trainer"`` z-scores the trace, ``"notebook"`` all twelve rows together."""
        early = preprocess == "trainer"
        samples = keys.PATCHES * keys.SAMPLES
        return ClipContract(
            fs=250.0,
            length=samples,
            leads=("II",),
            filters=(Step("repeated_clip", copies=COPIES, length=samples, normalise=early),),
            features=Step("one_of_twelve", row=READ, normalise=not early),
        )

    @classmethod
    def expected(cls, network: str, size: str, patch: int, preprocess: str) -> keys.Shapes:
        s = keys.SIZES[size]
        shapes = {
            "ecg": keys.ecg_shapes(s),
            "tokenizer": keys.tokenizer_shapes(s, patch),
            "maskgit": keys.maskgit_shapes(s),
        }
        return {f"{PREFIX[n]}{k}": v for n in PARTS[network] for k, v in shapes[n].items()}

    def adopt(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """The networks wanted under the generator file's prefixes, without losses, the codebook's
        statistics, the ECG tower's head, and the zeros that stand for a bias in its norms."""
        network = self.variant["network"]
        if network != "full" and not any(k.startswith(tuple(PREFIX.values())) for k in tensors):
            bare = [k.removeprefix(PREFIX[network]) for k in self.expected(**self.variant)]
            tensors = _weights.unwrap(tensors, bare)
            tensors = {f"{PREFIX[network]}{k}": v for k, v in tensors.items()}
        elif network != "full":
            others = tuple(p for n, p in PREFIX.items() if n != network)
            tensors = {k: v for k, v in tensors.items() if not k.startswith(others)}
        unused = {"encode_ekg.head.weight", "encode_ekg.head.bias"}
        unused |= {f"cvivit.vq._codebook.{k}" for k in ("initted", "cluster_size", "embed_avg")}
        losses = tuple(f"{at}{loss}" for at in ("", "cvivit.") for loss in LOSSES)
        kept = {}
        for key, value in tensors.items():
            if key in unused or key.startswith(losses) or ".1.context_norm." in key:
                continue
            if key.endswith(".beta"):
                if np.any(np.asarray(value)):
                    raise WeightsError(
                        f"{self.title}: {key} must be zeros: the original never trains it"
                    )
                continue
            kept[key] = value
        return kept

    def program(self, tensors: Mapping[str, Array]):
        """The ECG tower, if it is among the networks; the others are compiled when first used."""
        from ..nn._graph import immutable  # programs then need no copies of their own

        self._size = keys.SIZES[self.variant["size"]]
        self._parts = {
            n: {
                k[len(p) :]: immutable(v, np.float32) for k, v in tensors.items() if k.startswith(p)
            }
            for n, p in PREFIX.items()
        }
        self._kept: dict[tuple, Any] = {}
        self._lock = Lock()
        return tower(self._parts["ecg"], self._size) if self._parts["ecg"] else None

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_kept", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _kept={}, _lock=Lock())

    def forward(self, prepared: Array, *, taps: Sequence[str] = ()):
        """The ECG's vector (n, 768). Taps: ``features`` and every block by its key, the last at
        the 30 tokens of lead II that are read."""
        if self._program is None:
            raise EcgkitError(f"{self.title} has no ECG tower: load the generator's file")
        return self._program(prepared, taps=taps)

    def classify(self, prepared: Array) -> tuple[Array, Array | None]:
        """There are no classes."""
        raise EcgkitError(
            f"{self.title} has no classes: use embed(x), encode(video), decode(ids), generate(x)"
        )

    # ------------------------------------------------------------------ video
    def encode(self, frames: ArrayLike) -> Array:
        """The tokens of a video.

        Parameters
        ----------
        frames : array_like, shape (3, frames, height, width) or (n, 3, frames, height, width)
            In 0..1, an odd number of frames of 128 x 128 pixels.

        Returns
        -------
        ndarray of int32, shape (T, rows, columns) or (n, T, rows, columns)
            T = 1 + (frames - 1) / 2; numbers of codes, 0..8191.
        """
        w = self._part("tokenizer")
        x = np.asarray(frames, np.float32)
        batch = x if x.ndim == 5 else x[None]
        side = self._size.image
        if x.ndim not in (4, 5) or batch.shape[1] != 3 or batch.shape[3:] != (side, side):
            raise LayoutError(
                f"a video must have shape (3, frames, {side}, {side}) or (n, 3, frames, {side}, "
                f"{side}), got {x.shape}; resize the frames first"
            )
        if not np.isfinite(batch).all():
            raise LayoutError("a video must hold finite numbers; some are NaN or infinite")
        grid = self._grid(batch.shape[2])
        rows = grid[1] * grid[2]
        patch, size = self.variant["patch"], self._size
        program = self._compiled(
            ("encode", grid[0]), lambda: video.encoder(w, size, patch, batch.shape[2])
        )
        match = self._compiled(("match",), lambda: video.matcher(w, rows))
        ids = np.empty((len(batch), grid[0], rows), np.int32)
        for to, clip in zip(ids, batch):
            codes = program(clip[None])[0].reshape(grid[0], rows, -1)
            for step, some in enumerate(codes):
                to[step] = match(some[None])[0].argmax(axis=-1)
        whole = ids.reshape(len(batch), *grid)
        return whole if x.ndim == 5 else whole[0]

    def decode(self, ids: ArrayLike) -> F32:
        """The video of tokens.

        Parameters
        ----------
        ids : array_like of int, shape (T, rows, columns) or (n, T, rows, columns)

        Returns
        -------
        ndarray, float32, shape (3, frames, height, width) or (n, 3, frames, height, width)
            frames = 2 T - 1; about 0..1, not clamped.

        Raises
        ------
        RangeError
            A number that is none of the codebook's.
        """
        w = self._part("tokenizer")
        x = np.asarray(ids)
        batch = x if x.ndim == 4 else x[None]
        side = self._size.image // self.variant["patch"]
        if x.ndim not in (3, 4) or batch.shape[2:] != (side, side) or x.dtype.kind not in "iu":
            raise LayoutError(
                f"tokens must be integers of shape (T, {side}, {side}) or (n, T, {side}, {side}), "
                f"got {x.dtype} {x.shape}"
            )
        patch, size, steps = self.variant["patch"], self._size, batch.shape[1]
        program = self._compiled(("decode", steps), lambda: video.decoder(w, size, patch, steps))
        out = [program(clip.reshape(1, -1))[0] for clip in batch]
        return np.stack(out) if x.ndim == 4 else out[0]

    # --------------------------------------------------------------- generate
    def logits(self, ids: ArrayLike, vector: ArrayLike, *, prime: int = 0) -> F32:
        """What the masked-token transformer says of every token.

        Parameters
        ----------
        ids : array_like of int, shape (T, rows, columns)
            8192 where a token is masked.
        vector : array_like, shape (768,)
            From :meth:`embed`.
        prime : int
            Time steps at the beginning whose logits are left out.

        Returns
        -------
        ndarray, float32, shape (token, code)
        """
        w = self._part("maskgit")
        x, size = np.asarray(ids), self._size
        if x.ndim != 3 or not 0 <= prime < len(x) or x.size > size.positions:
            raise LayoutError(
                f"tokens must have shape (T, rows, columns), at most {size.positions} of them and "
                f"more time steps than prime={prime}, got {x.shape}"
            )
        grid = (x.shape[0], x.shape[1], x.shape[2])
        given = prime * grid[1] * grid[2]
        program = self._compiled(
            ("maskgit", grid, prime), lambda: video.maskgit(w, size, grid, given)
        )
        return program((x.reshape(1, -1), np.asarray(vector, np.float32)[None]))[0]

    def steps(
        self,
        x: Any,
        fs: float | None = None,
        *,
        frames: int = 11,
        prime: ArrayLike | None = None,
        steps: int = STEPS,
        seed: int = 0,
        noise: Noise | None = None,
        unit: str = "mV",
    ) -> Iterator[SamplingStep]:
        """Sampling, step by step: the tokens of the last one are the clip's.

        Parameters
        ----------
        x, fs, unit
            One recording, as for :meth:`embed`: the part of lead II that lies over the clip.
        frames : int
            Of the clip, prime ones included; odd.
        prime : array_like, shape (3, frames, height, width), optional
            Frames that the clip begins with, an odd number (the first one alone, in the paper's
            best results). To go on with a scene, pass its last frames.
        steps : int
            Default 18, as published.
        seed : int
            Same seed, same bits, on any number of threads.
        noise : callable, optional
            ``noise(step, tokens, codes)`` gives the uniform numbers (token, code) in [0, 1) in
            place of the seed's.

        Yields
        ------
        SamplingStep

        Raises
        ------
        LayoutError
            More than one recording, or frames that do not go together.
        """
        self._part("maskgit")
        if not isinstance(steps, int) or steps < 1:
            raise EcgkitError(f"steps must be a positive integer, got {steps!r}")
        if not is_single(x):
            raise LayoutError("clips are made from one recording at a time; loop over them")
        grid = self._grid(frames)
        start = np.empty((0, *grid[1:]), np.int32)
        if prime is not None:
            start = self.encode(prime)
            if start.ndim != 3 or len(start) >= grid[0]:
                raise LayoutError(
                    f"prime must be one video of fewer frames than frames={frames}, got "
                    f"{np.shape(prime)}"
                )
        vector = self.embed(x, fs, unit=unit)

        def logits_of(ids: Array) -> F32:
            return self.logits(ids.reshape(grid), vector, prime=len(start))

        source = seeded(seed) if noise is None else noise
        return sample(logits_of, start.reshape(-1), grid, self._size.codes, steps, source)

    def generate(
        self,
        x: Any,
        fs: float | None = None,
        *,
        frames: int = 11,
        prime: ArrayLike | None = None,
        steps: int = STEPS,
        seed: int = 0,
        unit: str = "mV",
    ) -> EchoClip:
        """A clip from an ECG: the last of :meth:`steps` (parameters as there), decoded.

        Returns
        -------
        EchoClip
        """
        options: dict[str, Any] = {"frames": frames, "prime": prime, "steps": steps, "seed": seed}
        *_, state = self.steps(x, fs, unit=unit, **options)
        notes = self.contract.admit(x, fs, unit=unit)[1][0]
        return EchoClip(self.decode(state.ids), state.ids, seed, notes)

    # ----------------------------------------------------------------- within
    def _part(self, name: str) -> Mapping[str, Array]:
        if not self._parts[name]:
            raise EcgkitError(
                f"{self.title} has no {name}: load the generator's file, network='full'"
                + (" or 'tokenizer'" if name == "tokenizer" else "")
            )
        return self._parts[name]

    def _grid(self, frames: int) -> tuple[int, int, int]:
        side = self._size.image // self.variant["patch"]
        if not isinstance(frames, int | np.integer) or frames < 1 or frames % 2 == 0:
            raise LayoutError(
                f"a video has one frame and then pairs, an odd number; got {frames!r} frames"
            )
        return 1 + (int(frames) - 1) // 2, side, side

    def _compiled(self, key: tuple, build: Callable[[], Any]):
        """A program, compiled once; the one used longest ago goes."""
        with self._lock:
            program = self._kept.pop(key, None) or build()
            while len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = program
            return program


SYSTEM = Echopulse
