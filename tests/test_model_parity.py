"""Every model against an independent PyTorch module: layout, accuracy, batches, taps, refusals.

A witness, ``tests/witness_<model>.py``, is written from the specification, not from our code. It
offers

- ``CASES``: list of variants (keyword arguments of ``ek.load_model``), small ones first;
- ``weights(seed=0, **variant)``: random weights in the authors' layout, with the keys that their
  forward leaves unused;
- ``module(weights, double=False, **variant)``: a ``torch.nn.Module`` in eval mode whose
  ``forward(x)`` is our ``Model.forward``, and whose ``taps(x)``, if it has one, maps our names of
  taps to what they must be;
- ``inputs(n, seed=0, **variant)``: prepared input, float32.

``NAME`` in a witness names the model if the file does not; ``MAIN``, a list of variants, says what
``benchmarks/models.py`` measures (else, of every ``network``, the largest case). Networks of more
than 40 million values run once, at batch 1, and are marked slow.
"""

import importlib
from pathlib import Path

import numpy as np
import pytest

import ecgkit as ek
from ecgkit.models import _systems, random_tensors

BIG = 40_000_000
TESTS = Path(__file__).resolve().parent
WITNESSES = {
    path.stem: importlib.import_module(path.stem) for path in sorted(TESTS.glob("witness_*.py"))
}


def name_of(stem):
    return getattr(WITNESSES[stem], "NAME", stem.removeprefix("witness_"))


def expected(stem, case):
    system = _systems()[name_of(stem)]
    return system.expected(**system.complete(case))


def size(stem, case):
    return sum(int(np.prod(shape)) for shape in expected(stem, case).values())


def cases(*, small=False, first=False):
    """Witness and variant; the big ones marked slow, or left out."""
    found = []
    for stem, witness in WITNESSES.items():
        for i, case in enumerate(witness.CASES):
            big = size(stem, case) > BIG
            if (small and big) or (first and i):
                continue
            label = " ".join([name_of(stem), *(f"{k}={v}" for k, v in case.items())])
            found.append(pytest.param(stem, case, id=label, marks=[pytest.mark.slow] * big))
    return found


def load(stem, weights, case):
    return ek.load_model(name_of(stem), weights=weights, **case)


def flat(result):
    """A network's results by name."""
    if isinstance(result, dict):
        return {k: np.asarray(v) for k, v in result.items()}
    if isinstance(result, tuple | list):
        return {str(i): np.asarray(v) for i, v in enumerate(result)}
    return {"output": np.asarray(result)}


def witness_answers(stem, weights, case, x):
    """Results and taps of the PyTorch module in float64 and in float32, all as float64."""
    torch = pytest.importorskip("torch")
    found = []
    for double in (True, False):
        module = WITNESSES[stem].module(weights, double=double, **case)
        t = torch.from_numpy(x)
        t = t.double() if double and t.is_floating_point() else t
        with torch.inference_mode():
            taps = module.taps(t) if hasattr(module, "taps") else {}
            found.append((flat(module(t)), flat(taps)))
    return found


def assert_as_exact(what, ours, want, theirs):
    """The relative error in the 2-norm, over the whole batch: at most twice PyTorch's."""
    assert ours.shape == want.shape, f"{what}: shape {ours.shape}, PyTorch {want.shape}"
    if want.dtype.kind not in "fc":
        assert np.array_equal(ours, want), what
        return
    scale = np.linalg.norm(want.ravel())
    mine, his = (np.linalg.norm((y - want).ravel()) / scale for y in (ours, theirs))
    assert mine <= 2 * his + 1e-7, f"{what}: error {mine:.3g}, PyTorch float32's {his:.3g}"


# ------------------------------------------------------------------- the answer
@pytest.mark.torch
@pytest.mark.parametrize(("stem", "case"), cases())
def test_it_answers_like_pytorch_layer_by_layer(stem, case):
    w = WITNESSES[stem].weights(**case)
    x = WITNESSES[stem].inputs(1 if size(stem, case) > BIG else 3, **case)
    m = load(stem, w, case)
    assert x.dtype == np.float32
    (want, taps64), (theirs, taps32) = witness_answers(stem, w, case, x)
    plain = flat(m.forward(x))
    assert plain.keys() == want.keys()
    for key in want:
        assert_as_exact(key, plain[key], want[key], theirs[key])
    tapped = flat(m.forward(x, taps=tuple(taps64))) if taps64 else {}
    for key in taps64:
        assert_as_exact(f"tap {key}", tapped[key], taps64[key], taps32[key])


@pytest.mark.parametrize(("stem", "case"), cases(small=True))
def test_a_row_has_the_same_bits_in_any_batch_and_on_any_number_of_threads(stem, case):
    m = load(stem, WITNESSES[stem].weights(**case), case)
    x = WITNESSES[stem].inputs(17, **case)
    whole, three = flat(m.forward(x)), flat(m.forward(x[4:7]))
    threads = ek.get_threads()
    try:
        ek.set_threads(1)
        alone = flat(m.forward(x[5:6]))
        for key, rows in whole.items():
            assert np.array_equal(rows[4:7], three[key])
            assert np.array_equal(rows[5:6], alone[key])
            assert np.array_equal(flat(m.forward(x))[key], rows)
    finally:
        ek.set_threads(threads)


# ------------------------------------------------------------------- the layout
@pytest.mark.parametrize(("stem", "case"), cases(small=True))
def test_the_layout_loads_from_wrapped_keys_and_survives_saving(stem, case, tmp_path):
    w = WITNESSES[stem].weights(**case)
    m = load(stem, w, case)
    assert load(stem, {f"module.{k}": v for k, v in w.items()}, case).fingerprint == m.fingerprint
    path = tmp_path / "weights.safetensors"
    ek.weights.save(path, w)
    again = load(stem, path, case)
    assert (again.fingerprint, again.variant) == (m.fingerprint, m.variant)
    x = WITNESSES[stem].inputs(1, **case)
    for key, value in flat(m.forward(x)).items():
        assert np.array_equal(value, flat(again.forward(x))[key])


@pytest.mark.torch
@pytest.mark.parametrize(("stem", "case"), cases(small=True, first=True))
def test_a_checkpoint_of_torch_save_loads(stem, case, tmp_path):
    torch = pytest.importorskip("torch")
    w = WITNESSES[stem].weights(**case)
    state = {f"module.{k}": torch.from_numpy(np.array(v)) for k, v in w.items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "checkpoint.pth")
    m = load(stem, tmp_path / "checkpoint.pth", case)
    assert m.fingerprint == load(stem, w, case).fingerprint


# ------------------------------------------------------------------- refusals
@pytest.mark.parametrize(("stem", "case"), cases(small=True, first=True))
def test_every_key_that_does_not_fit_is_in_one_error(stem, case):
    w = WITNESSES[stem].weights(**case)
    keys = [k for k in expected(stem, case) if k in w]
    gone, bent = keys[len(keys) // 2], keys[-1]
    wrong = {k: v for k, v in w.items() if k != gone}
    wrong |= {bent: np.asarray(w[bent])[..., None], "surplus.weight": np.zeros(3)}
    with pytest.raises(ek.WeightsError) as info:
        load(stem, wrong, case)
    for key in (gone, bent, "surplus.weight"):
        assert key in str(info.value)


@pytest.mark.parametrize(("stem", "case"), cases(small=True, first=True))
@pytest.mark.parametrize("chosen", [True, False], ids=["by choice", "by the keys"])
def test_the_weights_of_another_model_are_refused(stem, case, chosen):
    others = [s for name, s in _systems().items() if name != name_of(stem)]
    foreign = min(others, key=lambda s: s.name == "scalogram_arrhythmia")
    w = random_tensors(foreign.expected(**foreign.complete({})), 0)
    with pytest.raises(ek.WeightsError):
        load(stem, w, case if chosen else {})
