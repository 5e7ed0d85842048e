"""Programs: whole networks against PyTorch in float64, and what a program promises."""

import copy
import pickle
import threading

import numpy as np
import pytest

import ecgkit as ek
from ecgkit.errors import LayoutError, WeightsError

torch = pytest.importorskip("torch")
torch.set_num_threads(1)
nn = torch.nn

pytestmark = pytest.mark.torch


class SmallCNN(nn.Module):
    """The 1-D network of the stacked scalograms, with fewer rows (or, with lstm, the CNN-LSTM)."""

    def __init__(self, rows=48, lstm=False):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(rows, 64, 5, padding=2), nn.BatchNorm1d(64)
        self.conv2, self.bn2 = nn.Conv1d(64, 128, 5, padding=2), nn.BatchNorm1d(128)
        self.conv3, self.bn3 = nn.Conv1d(128, 128, 3, padding=1), nn.BatchNorm1d(128)
        self.lstm = nn.LSTM(128, 64, batch_first=True) if lstm else None
        self.fc = nn.Linear(64 if lstm else 128, 4)

    def forward(self, x):
        n, w = x.shape[:2]
        h = x.flatten(0, 1)
        h = nn.functional.max_pool1d(self.bn1(self.conv1(h)).relu(), 2)
        h = nn.functional.max_pool1d(self.bn2(self.conv2(h)).relu(), 2)
        h = self.bn3(self.conv3(h)).relu().mean(-1).view(n, w, 128)
        return self.fc(h.mean(1) if self.lstm is None else self.lstm(h)[0][:, -1])


def build(module, rows=48, items=10, time=64):
    w = {k: v.numpy() for k, v in module.state_dict().items()}
    p = ek.nn.Program("small")
    h = p.input("x", (items, rows, time))
    for i, padding in enumerate((2, 2, 1), 1):
        h = p.conv1d(h, w[f"conv{i}.weight"], w[f"conv{i}.bias"], padding=padding, name=f"conv{i}")
        bn = [w[f"bn{i}.{k}"] for k in ("weight", "bias", "running_mean", "running_var")]
        h = p.relu(p.batch_norm(h, *bn, 1e-5, name=f"bn{i}"), name=f"relu{i}")
        if i < 3:
            h = p.max_pool1d(h, 2)
    h = p.mean(h, -1, name="features")
    if module.lstm is None:
        h = p.mean(h, 0)
    else:
        h = p.select(p.lstm(h, {k[5:]: v for k, v in w.items() if k.startswith("lstm.")}), -1)
    p.output(p.linear(h, w["fc.weight"], w["fc.bias"], name="fc"))
    return p.compile()


def seeded(module, seed=0):
    torch.manual_seed(seed)
    for m in module.modules():
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2)
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.normal_(m.bias)
    return module.eval()


def errors(module, x, got):
    """Largest errors of ours and of PyTorch's float32, both against float64."""
    with torch.no_grad():
        f32 = module.float()(torch.from_numpy(x)).numpy()
        f64 = module.double()(torch.from_numpy(x).double()).numpy()
        module.float()
    return np.abs(got - f64).max(), np.abs(f32 - f64).max(), np.abs(f64).max()


@pytest.fixture(params=[False, True], ids=["cnn1d", "cnn_lstm"])
def small(request):
    return seeded(SmallCNN(lstm=request.param))


def batch(n=5, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 10, 48, 64)).astype(np.float32)


def test_small_networks_agree_with_pytorch_in_double(isa, small):
    x = batch()
    ours, theirs, scale = errors(small, x, build(small)(x))
    assert ours <= 2 * theirs + 1e-6 * scale


def test_same_bits_for_any_batch_and_thread_count(isa, small):
    program, x = build(small), batch()
    want = program(x, threads=1)
    assert np.array_equal(program(x, threads=2), want)
    for threads in (1, 2, 3):
        one = [program(x[i : i + 1], threads=threads) for i in range(len(x))]
        assert np.array_equal(np.concatenate(one), want)


def test_empty_batch_and_out(small):
    program, x = build(small), batch()
    assert program(x[:0]).shape == (0, 4)
    out = np.empty((5, 4), np.float32)
    assert program(x, out=out) is out
    assert np.array_equal(out, program(x))
    with pytest.raises(LayoutError, match="out must be"):
        program(x, out=np.empty((5, 4)))
    with pytest.raises(LayoutError, match="shares memory"):
        program(x, out=x.reshape(-1)[:20].reshape(5, 4))


def test_taps_return_named_intermediates(isa, small):
    program, x = build(small), batch()
    taps = program(x, taps=("bn1", "features"))
    np.testing.assert_allclose(taps["output"], program(x), atol=1e-5)
    with torch.no_grad():
        h = torch.from_numpy(x).flatten(0, 1)
        want = small.bn1(small.conv1(h)).reshape(5, 10, 64, 64).numpy()
    np.testing.assert_allclose(taps["bn1"], want, atol=2e-5)
    assert taps["features"].shape == (5, 10, 128)
    with pytest.raises(ValueError, match="nowhere"):
        program(x, taps=("nowhere",))


def test_it_can_be_copied_and_pickled(small):
    program, x = build(small), batch()
    want = program(x)
    for other in (copy.deepcopy(program), copy.copy(program), pickle.loads(pickle.dumps(program))):
        assert np.array_equal(other(x), want)


def test_eight_threads_share_one_program(small):
    program, x = build(small), batch()
    want, wrong = program(x), []

    def hammer():
        for _ in range(5):
            if not np.array_equal(program(x), want):
                wrong.append(1)

    crowd = [threading.Thread(target=hammer) for _ in range(8)]
    [t.start() for t in crowd]
    [t.join() for t in crowd]
    assert not wrong


def test_any_dtype_and_stride_is_taken_and_left_alone(small):
    program = build(small)
    x = np.random.default_rng(1).integers(-5, 5, (2, 10, 48, 128)).astype(np.int16)[..., ::2]
    before = x.copy()
    assert np.array_equal(program(x), program(np.ascontiguousarray(x, np.float32)))
    assert np.array_equal(x, before)
    read_only = x.astype(np.float32)
    read_only.flags.writeable = False
    assert np.array_equal(program(read_only), program(x))


def test_shapes_that_do_not_fit_say_what_was_wanted(small):
    program, x = build(small), batch()
    with pytest.raises(LayoutError, match=r"\(n, 10, 48, 64\).*x\[None\]"):
        program(x[0])
    with pytest.raises(TypeError, match="complex"):
        program(x.astype(complex))


def test_weights_that_do_not_fit_name_the_layer():
    p = ek.nn.Program("net")
    x = p.input("x", (3, 20))
    with pytest.raises(WeightsError, match=r"net\.first: weight has shape \(8, 4, 5\)"):
        p.conv1d(x, np.zeros((8, 4, 5)), name="first")
    with pytest.raises(WeightsError, match=r"net\.second: bias has shape \(7,\), wanted \(8\)"):
        p.conv1d(x, np.zeros((8, 3, 5)), np.zeros(7), name="second")
    with pytest.raises(LayoutError, match="shorter than the kernel"):
        p.conv1d(x, np.zeros((8, 3, 21)), name="third")


def test_printing_shows_layers_and_profile_shows_time(small):
    program = build(small)
    assert "conv1+bn1+relu1" in str(program)
    assert "MMAC" in str(program)
    profile = program.profile(batch(1), repeat=1)
    assert "GFLOP/s" in str(profile)
    assert len(profile.seconds) == len(profile.rows)


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_a_batch(threads):
    import os
    import signal
    import time

    p = ek.nn.Program("long")
    h = p.input("x", (64, 4000))
    for _ in range(20):
        h = p.relu(p.conv1d(h, np.ones((64, 64, 5)), padding=2))
    p.output(p.mean(h, -1))
    program, x = p.compile(), np.ones((200, 64, 4000), np.float32)
    sent = []

    def interrupt():
        time.sleep(0.3)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        program(x, threads=threads)
    assert time.monotonic() - sent[0] < 1.0
    assert np.isfinite(program(x[:1] * 0)).all()


def test_descriptions_that_do_not_fit_are_refused_in_c():
    from ecgkit import _core

    plain = (1, 0, 1, 1, 1, 8, 1, 0, 0, 0, 0)
    blocked = (0, 0, 1, 8, 1, 8, 16, 0, 0, 1, 1)
    for bufs, steps in (
        ((plain,), (("nowhere", (0, 0), (), (), ()),)),
        ((plain,), (("layout", (0, 5), (), (), ()),)),
        ((plain, blocked), (("layout", (0, 1), (), (), ()),)),
        ((plain,), (("softmax", (0, 0), (3, 3), (), ()),)),
        ((plain,), (("permute", (0, 0), (8, 2, 0), (), ()),)),
        ((plain,), (("linear", (0, 0), (1, 0), (0.0,), (np.ones((8, 7)), np.ones(8))),)),
        (((9, *plain[1:]),), ()),
    ):
        with pytest.raises((ValueError, TypeError)):
            _core.nn_new(bufs, 2, 1, steps)
    huge = (0, 0, 2**62, 2**30, 2**30, 2**30, 16, 0, 0, 0, 0)
    with pytest.raises(ValueError):
        _core.nn_new((huge,), 1, 1, ())
