"""ECGNet's three networks in PyTorch, written from their specification."""

import numpy as np
from model_witness import functional, random_weights

CASES = [
    {"network": "discriminator", "seconds": 2},
    {"network": "cvd", "seconds": 2},
    {"network": "cvd", "masks": False, "num_classes": 3, "seconds": 2},
    {"network": "generator", "seconds": 1},
    {"network": "generator", "lead": "V3", "rows": 11, "seconds": 1},
    {"network": "generator", "lead": "aVR", "coded": True, "seconds": 1},
    {"network": "generator", "lead": "V6"},
    {"network": "discriminator"},
]
MAIN = [  # what the benchmark of models measures
    {"network": "generator"},
    {"network": "discriminator"},
    {"network": "cvd"},
]
LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]


def layout(network, rows=12, coded=False, masks=True, num_classes=5, **_):
    if network == "generator":
        shapes = {}
        for layer, features in ((0, 13 if coded else 1), (1, 200)):
            for end in ("", "_reverse"):
                shapes[f"lstm.weight_ih_l{layer}{end}"] = (400, features)
                shapes[f"lstm.weight_hh_l{layer}{end}"] = (400, 100)
                shapes[f"lstm.bias_ih_l{layer}{end}"] = (400,)
                shapes[f"lstm.bias_hh_l{layer}{end}"] = (400,)
        return shapes | {"fc.weight": (rows, 200), "fc.bias": (rows,)}
    cin = 14 if network == "cvd" and masks else 12
    classes = num_classes if network == "cvd" else 1
    return {
        "conv1.weight": (32, cin, 25), "conv1.bias": (32,),
        "conv2.weight": (64, 32, 15), "conv2.bias": (64,),
        "conv3.weight": (128, 64, 9), "conv3.bias": (128,),
        "fc.weight": (classes, 128), "fc.bias": (classes,),
    }  # fmt: skip


def weights(seed=0, **variant):
    return random_weights(layout(**variant), seed)


def inputs(n, seed=0, *, network, lead="I", coded=False, masks=True, seconds=10, **_):
    rng = np.random.default_rng(seed)
    rows = 1 if network == "generator" else 14 if network == "cvd" and masks else 12
    x = rng.normal(size=(n, rows, 500 * seconds)).astype(np.float32)
    if coded:
        code = np.zeros((n, 12, x.shape[-1]), np.float32)
        code[:, LEADS.index(lead)] = 1
        x = np.concatenate([x, code], 1)
    return x


def module(weights, double=False, *, network, lead="I", **variant):
    if network != "generator":
        return functional(cnn, weights, double)
    import torch

    kind = torch.float64 if double else torch.float32
    w = {k: torch.from_numpy(np.array(v)).to(kind) for k, v in weights.items()}
    at = LEADS.index(lead)

    class Generator(torch.nn.Module):
        def __init__(self):
            super().__init__()
            features = w["lstm.weight_ih_l0"].shape[1]
            self.lstm = torch.nn.LSTM(features, 100, 2, batch_first=True, bidirectional=True)
            self.fc = torch.nn.Linear(200, len(w["fc.bias"]))
            self.to(kind).load_state_dict(w)

        def taps(self, x):
            h, _ = self.lstm(x.transpose(1, 2))
            return {"lstm": h, "generated": self.fc(h), "features": h.mean(1)}

        def forward(self, x):
            y = self.taps(x)["generated"].transpose(1, 2)
            after = at + (y.shape[1] == 12)
            return torch.cat([y[:, :at], x[:, :1], y[:, after:]], 1)

    return Generator().eval()


def cnn(w, x, tap):
    import torch.nn.functional as F

    for i, stride in ((1, 5), (2, 3), (3, 3)):
        taps = w[f"conv{i}.weight"].shape[-1]
        x = F.conv1d(x, w[f"conv{i}.weight"], w[f"conv{i}.bias"], stride, padding=taps // 2)
        x = tap(f"conv{i}", F.leaky_relu(x, 0.2))
    return F.linear(tap("features", x.mean(-1)), w["fc.weight"], w["fc.bias"])
