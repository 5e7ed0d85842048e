"""from_torch: networks as the user wrote them, layer names, and what is refused."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from convert_witness import assert_as_exact_as_torch, error, ready

import ecgkit as ek

torch = pytest.importorskip("torch")
nn = torch.nn
own = pytest.importorskip("own_networks")
pytestmark = pytest.mark.torch


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv1d(channels, channels, 7, padding=3, bias=False)
        self.norm1 = nn.BatchNorm1d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv1d(channels, channels, 3, padding="same", dilation=2)

    def forward(self, x):
        h = self.conv2(self.relu(self.norm1(self.conv1(x))))
        return self.relu(h + x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv1d(12, 32, 15, stride=2, padding=7)
        self.blocks = nn.Sequential(Block(32), Block(32))
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        return self.head(self.drop(self.pool(self.blocks(self.stem(x))).squeeze(-1)))


def as_module(function, *layers):
    """A module whose forward is ``function(layers, x)``."""

    class Ad(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(layers)

        def forward(self, *xs):
            return function(self.layers, *xs)

    return ready(Ad())


def test_layers_have_the_paths_of_the_modules():
    net = ready(Net())
    program = assert_as_exact_as_torch(net, (12, 400))
    x = np.random.default_rng(0).standard_normal((2, 12, 400)).astype(np.float32)
    taps = program(x, taps=["stem", "blocks.0.norm1", "blocks.1", "pool", "drop", "head"])
    with torch.no_grad():
        stem = net.stem(torch.from_numpy(x))
        one = net.blocks[0].norm1(net.blocks[0].conv1(stem))
        whole = net.blocks(stem)
    np.testing.assert_allclose(taps["stem"], stem, atol=1e-5)
    np.testing.assert_allclose(taps["blocks.0.norm1"], one, atol=1e-5)
    np.testing.assert_allclose(taps["blocks.1"], whole, atol=1e-5)
    np.testing.assert_array_equal(taps["head"], taps["output"])
    assert "blocks.0.conv1+blocks.0.norm1+blocks.0.relu" in str(program)
    assert "blocks.1.add" in str(program)


def test_the_module_is_left_as_it_was():
    net = ready(Net())
    before = {k: v.clone() for k, v in net.state_dict().items()}
    program = ek.nn.from_torch(net, (12, 100))
    after = net.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert all(p.requires_grad for p in net.parameters())
    x = np.ones((1, 12, 100), np.float32)
    y = program(x)
    with torch.no_grad():
        net.head.weight.zero_()
    np.testing.assert_array_equal(program(x), y)  # weights are copied


def test_values_changed_in_place_are_the_new_ones():
    def forward(layers, x):
        h = layers[0](x)
        h.relu_()
        y = layers[1](h)
        y.add_(h)
        return y + h

    layers = nn.Conv1d(3, 8, 3), nn.Conv1d(8, 8, 1)
    assert_as_exact_as_torch(as_module(forward, *layers), (3, 40))


def test_samples_that_are_batched_with_windows_stay_apart():
    def forward(layers, x):  # (n, 6, 40) -> (n * 2, 3, 40) and back
        n = x.shape[0]
        h = layers[0](x.reshape(n * 2, 3, 40)).transpose(1, 2)
        return h.reshape(n, 2, -1).permute(1, 0, 2).flatten(2).transpose(0, 1)

    assert_as_exact_as_torch(as_module(forward, nn.Conv1d(3, 8, 3, padding=1)), (6, 40))


def test_lstm_with_its_last_state():
    def forward(layers, x):
        y, (h, c) = layers[0](x)
        return y, h[-1], c.transpose(0, 1)

    lstm = nn.LSTM(8, 16, 2, batch_first=True, bidirectional=True)
    assert_as_exact_as_torch(as_module(forward, lstm), (30, 8))


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (own.UNet(), (12, 200)),
        (own.TCN(), (12, 200)),
        (own.CRNN(), (12, 400)),
        (own.CRNN(nn.GRU), (12, 400)),
        (own.Conformer(), (12, 400)),
        (own.Upsampler(), (3, 40)),
    ],
    ids=["unet", "tcn", "lstm", "gru", "conformer", "upsampler"],
)
def test_networks_over_time(net, shape):
    assert_as_exact_as_torch(ready(net), shape)


def test_token_ids_come_as_an_example_of_integers():
    def forward(layers, ids):
        return layers[1](layers[0](ids) + layers[2].weight[:20])

    layers = nn.Embedding(50, 16), nn.LayerNorm(16), nn.Embedding(30, 16)
    net = as_module(forward, *layers)
    ids = np.random.default_rng(0).integers(0, 50, (3, 20))
    program = ek.nn.from_torch(net, ids)
    with torch.no_grad():
        assert error(program(ids), net(torch.from_numpy(ids))) < 1e-6


def test_a_converted_program_pickles_and_keeps_to_its_lengths():
    program = ek.nn.from_torch(ready(own.UNet()), (12, 200))
    twin = pickle.loads(pickle.dumps(program))
    x = np.random.default_rng(0).standard_normal((2, 12, 200)).astype(np.float32)
    np.testing.assert_array_equal(twin(x, taps=["up1"])["up1"], program(x, taps=["up1"])["up1"])
    for p in (program, twin):
        with pytest.raises(ek.LayoutError, match="converted for these lengths alone"):
            p(np.zeros((1, 12, 240)))


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda _, x: x - x.mean(0, keepdim=True), "axis 0, which holds the batch"),
        (lambda _, x: x[:2], "holds the batch"),
        (lambda _, x: x.reshape(4, -1), "keep samples apart"),
        (lambda _, x: torch.softmax(x, 0), "mixes samples"),
        (lambda _, x: torch.fft.rfft(x).abs(), "fft"),
        (lambda _, x: x * torch.rand(3, 40), "random"),
        (lambda _, x: x if x.sum() > 0 else -x, "cannot trace"),
        (lambda _, x: torch.ones(3), "does not depend on the input"),
    ],
)
def test_what_cannot_be_converted_is_named(forward, message):
    with pytest.raises(ek.ConversionError, match=message):
        ek.nn.from_torch(as_module(forward), (3, 40))


def test_the_place_of_an_unknown_op_is_its_module():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.cumsum(x, -1)

    net = nn.Sequential(nn.Conv1d(3, 4, 3), nn.Sequential(Odd())).eval()
    with pytest.raises(ek.ConversionError, match=r"module '1.0' \(Odd\): cumsum"):
        ek.nn.from_torch(net, (3, 40))


def test_training_mode_is_refused_by_name():
    net = ready(Net())
    net.blocks[1].norm1.train()
    with pytest.raises(ek.ConversionError, match=r"'blocks.1.norm1' is in training mode.*eval"):
        ek.nn.from_torch(net, (12, 100))


def test_arguments_that_are_no_network_or_no_shape():
    net = ready(Net())
    with pytest.raises(TypeError, match="wanted a torch"):
        ek.nn.from_torch(torch.relu, (3,))
    with pytest.raises(ek.LayoutError, match="shape of one sample"):
        ek.nn.from_torch(net)
    with pytest.raises(ek.LayoutError, match="at least 1"):
        ek.nn.from_torch(net, (12, 0))
    with pytest.raises(ek.ConversionError, match="cannot trace"):
        ek.nn.from_torch(net, (11, 100))


def test_the_example_of_the_docs_runs(capsys):
    page = Path(__file__).resolve().parents[1] / "docs" / "engine" / "own_network.md"
    code = page.read_text().split("```python\n")[1].split("```")[0]
    exec(compile(code, page.name, "exec"), {})
    assert float(capsys.readouterr().out.splitlines()[-1]) < 1e-5
