"""Networks for the forward benchmark: PyTorch modules with random weights, and every runtime that
can run them."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable

import numpy as np
from _harness import Absent

import ecgkit as ek


def modules() -> dict[str, tuple[object, tuple[int, ...]]]:
    """Name -> (module in evaluation mode, shape of one input)."""
    import torch
    from torch import nn

    from ecgkit.train import _scalogram_nets as nets

    class Windows(nn.Module):
        """The 1-D networks in plain PyTorch layers, so that every exporter takes them; the trained
        keys."""

        def __init__(self, lstm: bool):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv1d(768, 64, 5, padding=2), nn.BatchNorm1d(64)
            self.conv2, self.bn2 = nn.Conv1d(64, 128, 5, padding=2), nn.BatchNorm1d(128)
            self.conv3, self.bn3 = nn.Conv1d(128, 128, 3, padding=1), nn.BatchNorm1d(128)
            self.lstm = nn.LSTM(128, 64, batch_first=True) if lstm else None
            self.fc = nn.Linear(64 if lstm else 128, 4)

        def forward(self, x):
            h = x.reshape(-1, 768, 64)
            h = nn.functional.max_pool1d(self.bn1(self.conv1(h)).relu(), 2)
            h = nn.functional.max_pool1d(self.bn2(self.conv2(h)).relu(), 2)
            h = self.bn3(self.conv3(h)).relu().mean(-1).reshape(-1, 10, 128)
            return self.fc(h.mean(1) if self.lstm is None else self.lstm(h)[0][:, -1])

    torch.manual_seed(0)
    found = {
        "cnn1d": (Windows(False), (10, 768, 64)),
        "cnn_lstm": (Windows(True), (10, 768, 64)),
        "resnet18": (nets.ResNet18(), (3, 224, 224)),
        "efficientnet_lite0": (nets.EfficientNetLite0(), (3, 224, 224)),
    }
    for module, _ in found.values():
        for part in module.modules():
            if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 2)
                nn.init.uniform_(part.weight, 0.5, 1.5)
        module.eval()
    return found


def ours(name: str, module, shape: tuple[int, ...]) -> ek.nn.CompiledProgram:
    """The library's own program of the network."""
    from ecgkit.models import _efficientnet, _resnet, scalogram_arrhythmia

    weights = {key: value.numpy() for key, value in module.state_dict().items()}
    if name == "resnet18":
        return _resnet.program(weights, shape[-1])
    if name == "efficientnet_lite0":
        return _efficientnet.program(weights, shape[-1])
    return scalogram_arrhythmia._sequence_program(name, weights)


def _per_thread_count(make: Callable[[int], Callable]) -> Callable:
    """Sessions take their thread count when they are made: one for each."""
    made: dict[int, Callable] = {}

    def call():
        n = ek.get_threads()
        if n not in made:
            made[n] = make(n)
        return made[n]()

    return call


def _onnx(module, x) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.onnx.export(
        module, (torch.from_numpy(x),), buffer, input_names=["x"], output_names=["y"], dynamo=False
    )
    return buffer.getvalue()


def runners(name: str, module, x: np.ndarray) -> dict[str, Callable | Absent]:
    """Runtime -> function; ours first."""
    import torch

    program = ours(name, module, x.shape[1:])
    logits = list(program.outputs).index("logits")
    t = torch.from_numpy(x)

    def eager():
        with torch.inference_mode():
            return module(t).numpy()

    with torch.inference_mode():
        frozen = torch.jit.freeze(torch.jit.trace(module, t))

    def traced():
        with torch.inference_mode():
            return frozen(t).numpy()

    cases: dict[str, Callable | Absent] = {
        "ours": lambda: program(x)[logits],
        "PyTorch": eager,
        "PyTorch traced": traced,
    }
    try:
        model = _onnx(module, x)
    except Exception as error:  # the exporter's own packages are optional
        absent = Absent(f"no ONNX export ({type(error).__name__})")
        return cases | {"ONNX Runtime": absent, "OpenVINO": absent}

    def onnxruntime(n: int):
        ort = importlib.import_module("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = n, 1
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": x})[0]

    def openvino(n: int):
        ov = importlib.import_module("openvino")
        core = ov.Core()
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": n,
            "PERFORMANCE_HINT": "LATENCY",
        }
        compiled = core.compile_model(core.read_model(io.BytesIO(model)), "CPU", options)
        request = compiled.create_infer_request()
        return lambda: request.infer([x])[0].copy()

    for label, package, make in (
        ("ONNX Runtime", "onnxruntime", onnxruntime),
        ("OpenVINO", "openvino", openvino),
    ):
        try:
            importlib.import_module(package)
            cases[label] = _per_thread_count(make)
        except ImportError as error:
            cases[label] = Absent(f"not installed ({error})")
    return cases
