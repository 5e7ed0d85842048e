"""Forward passes, batch 1: ours beside PyTorch eager and traced, ONNX Runtime and OpenVINO
(float32).

Random weights; the answers are compared first. ``--only NAME`` runs one network.
"""

import sys

import numpy as np
from _harness import bench, main
from _networks import modules, runners

BARS = {"cnn1d": 1.2, "cnn_lstm": 1.2, "resnet18": 1.1, "efficientnet_lite0": 1.1}


def run() -> None:
    rng = np.random.default_rng(0)
    for name, (module, shape) in modules().items():
        if _only and name != _only:
            continue
        x = rng.normal(size=(1, *shape)).astype(np.float32)
        size = "x".join(map(str, shape))
        bench(f"{name} {size}, batch 1", runners(name, module, x), check=1e-4, bar=BARS[name])


_only = None
if "--only" in sys.argv:
    at = sys.argv.index("--only")
    _only = sys.argv[at + 1]

if __name__ == "__main__":
    if _only:
        del sys.argv[at : at + 2]
    main(run)
