"""The benchmark's convolutional networks against PyTorch in float64, on shorter recordings."""

import sys
from pathlib import Path

import numpy as np
import pytest

import ecgkit as ek

torch = pytest.importorskip("torch")
sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))
networks = pytest.importorskip("_networks_conv")
import _networks_ptbxl  # noqa: E402
from _networks import scatter_norms  # noqa: E402
from _runtimes import answers, compiled  # noqa: E402

F = torch.nn.functional
SHAPES = {
    "ecgfounder_net1d": (12, 250),
    "merl_resnet1d18": (12, 182),
    "xresnet1d101": (12, 160),
    "protoecgnet_1d": (12, 250),
    "protoecgnet_2d": (1, 12, 250),
}


def rms(x) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


@pytest.fixture(scope="module")
def nets():
    torch.manual_seed(0)
    found = networks.networks() | _networks_ptbxl.networks()
    return {name: scatter_norms(net[0]) for name, net in found.items()}


@pytest.mark.parametrize("name", SHAPES)
def test_networks_err_at_most_twice_as_much_as_pytorch(isa, nets, name):
    if ek.simd.active() == "ref" and name != "protoecgnet_1d":
        pytest.skip("minutes in plain C; its kernels are those of protoecgnet_1d")
    x = np.random.default_rng(0).normal(size=(2, *SHAPES[name])).astype(np.float32)
    module = nets[name]
    program = compiled(name, module, SHAPES[name])
    with torch.inference_mode():
        theirs = module(torch.from_numpy(x)).numpy()
        want = module.double()(torch.from_numpy(x).double()).numpy()
    module.float()
    got = answers(program, x, threads=1)
    assert rms(got - want) <= 2 * rms(theirs - want)
    assert np.array_equal(got, answers(program, x, threads=2))
    assert np.array_equal(got[1:], answers(program, x[1:], threads=2))


def winograd(x, w, bias, act=None, residual=False):
    """A program whose only step is one convolution; where its kernel is Winograd's."""
    p = ek.nn.Program("line")
    t = p.input("x", x.shape[1:])
    h = p.conv1d(t, w, bias, padding=w.shape[-1] // 2)
    h = p.add(h, t) if residual else h
    p.output(p.activation(h, act) if act else h)
    program = p.compile()
    assert "winograd" in kernels(program)
    return program


@pytest.mark.parametrize(("act", "residual"), [(None, False), ("relu", True), ("silu", True)])
@pytest.mark.parametrize(
    ("taps", "channels", "length"),
    [
        *((taps, *shape) for taps in (3, 5) for shape in ((32, 4), (40, 5), (64, 62), (100, 301))),
        *((9, 32, 4), (7, 48, 9), (9, 112, 62), (11, 32, 301), (31, 64, 301)),
    ],
)
def test_taps_in_time_by_winograd(isa, taps, channels, length, act, residual):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, channels, length)).astype(np.float32)
    w = (rng.normal(size=(channels, channels, taps)) / np.sqrt(taps * channels)).astype(np.float32)
    b = rng.normal(size=channels).astype(np.float32)

    def theirs(dtype):
        x_, w_, b_ = (torch.tensor(a, dtype=dtype) for a in (x, w, b))
        y = F.conv1d(x_, w_, b_, padding=taps // 2)
        y = y + x_ if residual else y
        return (getattr(F, act)(y) if act else y).numpy()

    want = theirs(torch.float64)
    program = winograd(x, w, b, act, residual)
    got = program(x, threads=1)
    assert rms(got - want) <= 2 * rms(theirs(torch.float32) - want)
    assert np.array_equal(got, program(x, threads=2))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 7, 20])
@pytest.mark.parametrize("taps", [3, 5, 9])
def test_infinities_stay_in_their_windows_in_time(isa, taps, bad, at):
    rng = np.random.default_rng(0)
    cin = 33 if taps < 9 else 32
    x = rng.normal(size=(1, cin, 21)).astype(np.float32)
    w = rng.normal(size=(48, cin, taps)).astype(np.float32)
    x[0, 5, at] = bad
    got = winograd(x, w, np.zeros(48, np.float32))(x)
    want = F.conv1d(torch.from_numpy(x), torch.from_numpy(w), padding=taps // 2).numpy()
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(np.isinf(got), np.isinf(want))
    fine = np.isfinite(want)
    np.testing.assert_allclose(got[fine], want[fine], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kernel", "pads"), [((3, 3), (1, 1)), ((5, 3), (2, 0)), ((3, 7), (1, 3))])
def test_taps_that_meet_only_padding_are_dropped(isa, kernel, pads):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 5, 1, 30)).astype(np.float32)
    w = rng.normal(size=(7, 5, *kernel)).astype(np.float32)
    p = ek.nn.Program("flat")
    p.output(p.conv2d(p.input("x", x.shape[1:]), w, padding=pads))
    program = p.compile()
    assert program.macs == 7 * 5 * kernel[1] * program.outputs["conv2d_0"][-1]
    want = F.conv2d(torch.from_numpy(x), torch.from_numpy(w), padding=pads).numpy()
    np.testing.assert_allclose(program(x), want, rtol=1e-4, atol=1e-5)


def kernels(program):
    return [row["op"] for row in program._main.rows]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("length", [37, 130])
@pytest.mark.parametrize(("cin", "cout"), [(32, 32), (32, 64), (48, 64), (16, 80)])
def test_excited_blocks_end_in_one_pass(isa, cin, cout, length, stride):
    """Two blocks in a row: odd and even lengths, shortcuts pooled, moved by whole and half blocks
    of channels, and read twice."""
    torch.manual_seed(0)
    blocks = [
        networks.Net1DBlock(cin, cout, stride, False),
        networks.Net1DBlock(cout, cout, stride, False),
    ]
    module = torch.nn.Sequential(*blocks, torch.nn.SiLU()).eval()
    program = ek.nn.from_torch(module, (cin, length))
    used = kernels(program)
    assert used.count("merge") == 2
    assert not {"binary", "broadcast", "gate", "gather"} & set(used)
    assert used.count("pool") == 2  # the means
    x = np.random.default_rng(0).normal(size=(2, cin, length)).astype(np.float32)
    x[1, 3, -1] = -5.0
    with torch.inference_mode():
        middle = blocks[0].double()(torch.from_numpy(x).double())
        last = blocks[1].double()(middle)
    np.testing.assert_allclose(program(x, threads=1), F.silu(last), rtol=1e-5, atol=1e-5)
    assert np.array_equal(program(x, threads=1), program(x, threads=2))
    tapped = next(row["name"] for row in program._main.rows if row["op"] == "merge").split("+")[0]
    got = program(x, taps=(tapped,))[tapped]
    np.testing.assert_allclose(got, middle, rtol=1e-5, atol=1e-5)


def test_nan_stays_in_its_pair_of_a_pooled_shortcut(isa):
    x = np.zeros((1, 16, 9), np.float32)
    x[0, 2, 4], x[0, 3, 7] = np.nan, np.nan
    p = ek.nn.Program("pairs")
    t = p.input("x", (16, 9))
    y = p.conv1d(p.input("y", (16, 5)), np.zeros((16, 16, 1), np.float32))
    y = p.multiply(y, p.input("factor", (16, 1)))
    p.output(p.add(y, p.max_pool1d(p.pad(t, (0, 1)), 2)))
    program = p.compile()
    assert "merge" in kernels(program)
    got = program((x, np.zeros((1, 16, 5), np.float32), np.ones((1, 16, 1), np.float32)))
    want = np.zeros((1, 16, 5), np.float32)
    want[0, 2, 2], want[0, 3, 3] = np.nan, np.nan
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("pad", [(3, 4), (0, 2), (2, 0, 1, 3)])
def test_zeros_around_a_convolution_are_its_padding(isa, pad):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 6, 20)).astype(np.float32)
    w = rng.normal(size=(7, 5, 3, 4)).astype(np.float32)
    p = ek.nn.Program("padded")
    p.output(p.conv2d(p.pad(p.input("x", x.shape[1:]), pad), w, padding=(1, 0)))
    program = p.compile()
    assert "gather" not in kernels(program)
    want = F.conv2d(F.pad(torch.from_numpy(x), pad), torch.from_numpy(w), padding=(1, 0))
    np.testing.assert_allclose(program(x), want, rtol=1e-4, atol=1e-5)
