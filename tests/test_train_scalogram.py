"""The scalogram recipe: same keys and answers as the C models, honest draws, and it learns."""

import numpy as np
import pytest

import ecgkit as ek

torch = pytest.importorskip("torch")

from ecgkit.evaluate import single_label  # noqa: E402
from ecgkit.models.scalogram_arrhythmia import ScalogramArrhythmia  # noqa: E402
from ecgkit.train import _scalogram_data as data  # noqa: E402
from ecgkit.train import _scalogram_nets as nets  # noqa: E402
from ecgkit.train import scalogram_arrhythmia as recipe  # noqa: E402

pytestmark = pytest.mark.torch
SIDE = 64


def shaken(name, seed=0):
    """A network whose batch-norms are not the identity."""
    torch.manual_seed(seed)
    net = nets.network(name).eval()
    for key, value in net.state_dict().items():
        if key.endswith("running_mean"):
            value.normal_(0.0, 0.1)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return net


def variant(name):
    return {"network": name} | ({"image": SIDE} if name in nets.TWO_DIMENSIONAL else {})


@pytest.mark.parametrize("name", nets.NETWORKS)
def test_keys_and_shapes_are_those_of_the_model(name):
    state = nets.network(name).state_dict()
    got = {k: tuple(v.shape) for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert got == ScalogramArrhythmia.expected(**variant(name))


@pytest.mark.parametrize("name", nets.NETWORKS)
def test_exported_weights_give_the_same_answer_in_c(name, tmp_path):
    net = shaken(name)
    path = recipe.export(net, recipe.Recipe(name), tmp_path)
    if name in nets.TWO_DIMENSIONAL:  # the file is float16: so must be the witness
        for p in net.parameters():
            if p.ndim > 1:
                p.data = p.data.half().float()
    model = ek.load_model("scalogram_arrhythmia", path, **variant(name))
    x = np.random.default_rng(1).normal(size=(2, 12, 1000)).astype(np.float32)
    z = model.preprocess(x, fs=100)
    with torch.no_grad():
        t = torch.from_numpy(z)
        flat = name not in nets.TWO_DIMENSIONAL
        want = net(t) if flat else net(t.flatten(0, 1)).unflatten(0, z.shape[:2])
    np.testing.assert_allclose(model.forward(z), want.numpy(), rtol=2e-4, atol=2e-4)


def test_images_of_the_recipe_are_those_of_the_contract():
    x = np.random.default_rng(2).normal(size=(2, 12, 1000)).astype(np.float32)
    model = ek.load_model("scalogram_arrhythmia", "random", network="cnn1d")
    rules = data.contract("cnn1d")
    y = x
    for step in (*rules.filters, rules.normalisation):
        y = step(y, rules.fs)
    np.testing.assert_array_equal(data.images(y, rules), model.preprocess(x, fs=100))


def test_the_fast_convolution_is_a_convolution():
    fast = nets._Conv1d(6, 5, 5, padding=2)
    slow = torch.nn.Conv1d(6, 5, 5, padding=2)
    slow.load_state_dict(fast.state_dict())
    x = torch.randn(3, 6, 9, requires_grad=True)
    got, want = fast(x.transpose(1, 2)).transpose(1, 2), slow(x)
    torch.testing.assert_close(got, want)
    weight = torch.randn_like(want)
    for a, b in zip(
        torch.autograd.grad((got * weight).sum(), [x, *fast.parameters()]),
        torch.autograd.grad((want * weight).sum(), [x, *slow.parameters()]),
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("side", [96, 128, 224])
def test_efficientnet_is_the_published_one(side):
    published = pytest.importorskip("efficientnet_lite_pytorch")
    theirs = published.EfficientNet.from_name("efficientnet-lite0").eval()
    ours = nets.network("efficientnet_lite0", 1000).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.rand(2, 3, side, side)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


def test_start_weights_that_do_not_fit_are_refused():
    state = nets.network("cnn1d").state_dict()
    state.pop("fc.bias")
    with pytest.raises(ek.WeightsError, match=r"fc\.bias"):
        nets.fill(nets.network("cnn1d"), state)


def test_a_moved_grid_holds_only_whole_seconds_of_the_record():
    x = np.random.default_rng(3).normal(size=(8, 12, 1000)).astype(np.float32)
    before = x.copy()
    y = data.augment(x, np.random.default_rng(0), shift=1.0, gain=0.0, noise=0.0, lead_drop=0.0)
    np.testing.assert_array_equal(x, before)
    for one, moved in zip(x, y):
        assert not np.array_equal(one, moved)
        starts = [int(np.flatnonzero(one[0] == moved[0, 100 * w])[0]) for w in range(10)]
        for w, start in enumerate(starts):
            np.testing.assert_array_equal(
                moved[:, 100 * w : 100 * w + 100], one[:, start : start + 100]
            )
        assert starts == sorted(starts)


def test_augmentation_is_off_when_all_is_zero_and_seeded_otherwise():
    x = np.random.default_rng(4).normal(size=(4, 12, 1000)).astype(np.float32)
    off = data.augment(x, np.random.default_rng(0), shift=0, gain=0, noise=0, lead_drop=0)
    np.testing.assert_array_equal(off, x)
    a, b = (data.augment(x, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    silent = data.augment(x, np.random.default_rng(6), lead_drop=1.0)
    assert not silent.any()


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_draws_have_the_class_shares_that_power_says(power):
    y = np.repeat(np.arange(4), (100, 400, 100, 3400))
    got = np.bincount(y[data.draw(y, 40000, power, np.random.default_rng(0))]) / 40000
    want = np.array([100, 400, 100, 3400.0]) ** power
    np.testing.assert_allclose(got, want / want.sum(), atol=0.012)


def test_class_offsets_undo_balanced_draws():
    rng = np.random.default_rng(7)
    y = rng.choice(4, 3000, p=(0.03, 0.08, 0.04, 0.85))
    logits = rng.normal(0, 1, (3000, 4)) + 3.0 * np.eye(4)[y] + [2.0, 1.0, 1.5, 0.0]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    offsets = recipe.class_offsets(y, p)
    tuned = single_label(y, np.log(p) + offsets, data.LABELS, n=2)
    plain = single_label(y, p, data.LABELS, n=2)
    assert offsets[3] == 0
    assert (offsets[:3] < 0).all()
    assert tuned.macro_f1.value > plain.macro_f1.value + 0.05
    assert tuned.accuracy.value > plain.accuracy.value + 0.05


@pytest.mark.slow
@pytest.mark.data
def test_a_tiny_run_on_real_recordings_beats_chance_by_a_stated_margin(ptbxl):
    """Half of fold 9's patients teach, the others judge: balanced accuracy 0.50, chance 0.25."""
    fold = ek.datasets.ptbxl(ptbxl, task="rhythm4", folds=[9])
    x = data.load(fold, data.contract("cnn1d"))
    teach = fold.patient % 2 == 0
    tiny = recipe.Recipe("cnn1d", epochs=3, draws=960, power=0.0, bfloat16=False)
    one, other = (x[teach], fold.y[teach]), (x[~teach], fold.y[~teach])
    net, history = recipe.fit(tiny, one, other, say=lambda text: None)
    p = recipe.probabilities(net, other[0], tiny)
    report = single_label(other[1], p, data.LABELS, groups=fold.patient[~teach], n=200)
    assert not set(fold.patient[teach]) & set(fold.patient[~teach])
    assert len(history) == 3
    assert report.balanced_accuracy.value > 0.50, report
    assert report.balanced_accuracy.low > 0.40, report
