"""Every runtime that can run a benchmark network, ours first."""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Callable

import _programs_attention
import numpy as np
import torch
from _harness import Absent

import ecgkit as ek

Case = Callable[[], np.ndarray]


def compiled(name: str, module, shape: tuple[int, ...]) -> ek.nn.CompiledProgram:
    """Our program of a benchmark network: the models' own where there is one, builder
    calls for the transformers."""
    from ecgkit.models import _efficientnet, _ptbxl, _resnet, scalogram_arrhythmia

    weights = {key: value.numpy() for key, value in module.state_dict().items()}
    if name == "resnet18":
        return _resnet.program(weights, shape[-1])
    if name == "efficientnet_lite0":
        return _efficientnet.program(weights, shape[-1])
    if name == "xresnet1d101":
        return _ptbxl.program(name, weights, shape[-1])
    if name in ("cnn1d", "cnn_lstm"):
        return scalogram_arrhythmia._sequence_program(name, weights)
    if name in _programs_attention.PROGRAMS:
        return _programs_attention.PROGRAMS[name](weights, shape)
    return ek.nn.from_torch(module, shape)


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
    buffer = io.BytesIO()
    torch.onnx.export(
        module, (torch.from_numpy(x),), buffer, input_names=["x"], output_names=["y"], dynamo=False
    )
    return buffer.getvalue()


def answers(
    program: ek.nn.CompiledProgram, x: np.ndarray, threads: int | None = None
) -> np.ndarray:
    """The network's output: ``logits`` where a program returns more."""
    y = program(x, threads=threads)
    return y[list(program.outputs).index("logits")] if isinstance(y, tuple) else y


def float64(module, x: np.ndarray) -> np.ndarray:
    """The oracle: PyTorch in double precision."""
    with torch.inference_mode():
        y = module.double()(torch.from_numpy(x).double()).numpy()
    module.float()
    return y


def _load(package: str, make: Callable[[int], Case]) -> Case | Absent:
    try:
        importlib.import_module(package)
    except ImportError as error:
        return Absent(f"not installed ({error})")
    return _per_thread_count(make)


def latency(name: str, module, x: np.ndarray) -> dict[str, Case | Absent]:
    """Runtime -> function that runs ``x``: ours, PyTorch's module, and :func:`runtimes`."""
    program, t = compiled(name, module, x.shape[1:]), torch.from_numpy(x)

    def eager():
        with torch.inference_mode():
            return module(t).numpy()

    ours = {"ours": lambda: answers(program, x), "PyTorch": eager}
    return ours | runtimes(module, x)


def runtimes(module, x: np.ndarray) -> dict[str, Case | Absent]:
    """Runtime -> function that runs a PyTorch module on ``x``, in float32."""
    t = torch.from_numpy(x)
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python values that tracing takes as constants
            frozen = torch.jit.freeze(torch.jit.trace(module, t))
    except Exception as error:
        absent = Absent(f"cannot be traced ({type(error).__name__})")
        return dict.fromkeys(("PyTorch traced", "ONNX Runtime", "OpenVINO"), absent)

    def traced():
        with torch.inference_mode():
            return frozen(t).numpy()

    cases: dict[str, Case | Absent] = {"PyTorch traced": traced}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = _onnx(module, x)
    except Exception as error:  # the exporter's own packages are optional
        absent = Absent(f"no ONNX export ({type(error).__name__})")
        return cases | {"ONNX Runtime": absent, "OpenVINO": absent}

    def onnxruntime(n: int) -> Case:
        ort = importlib.import_module("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = n, 1
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": x})[0]

    def openvino(n: int) -> Case:
        request = _openvino(model, n, "LATENCY").create_infer_request()
        return lambda: request.infer([x])[0].copy()

    cases["ONNX Runtime"] = _load("onnxruntime", onnxruntime)
    cases["OpenVINO"] = _load("openvino", openvino)
    return cases


def throughput(name: str, module, x: np.ndarray, batch: int) -> dict[str, Case | Absent]:
    """Runtime -> function that runs all of ``x``: ours in batches of ``batch``, OpenVINO as its
    THROUGHPUT hint wants, a queue of requests of one recording each."""
    program = compiled(name, module, x.shape[1:])
    parts = [x[i : i + batch] for i in range(0, len(x), batch)]
    try:
        model = _onnx(module, x[:1])
    except Exception as error:
        return {
            "ours": lambda: np.concatenate([answers(program, p) for p in parts]),
            "OpenVINO": Absent(f"no ONNX export ({type(error).__name__})"),
        }

    def openvino(n: int) -> Case:
        ov = importlib.import_module("openvino")
        queue = ov.AsyncInferQueue(_openvino(model, n, "THROUGHPUT"))
        found: list = [None] * len(x)

        def keep(request, at):
            found[at] = request.get_output_tensor(0).data.copy()

        queue.set_callback(keep)

        def call():
            for i in range(len(x)):
                queue.start_async([x[i : i + 1]], i)
            queue.wait_all()
            return np.concatenate(found)

        return call

    return {
        "ours": lambda: np.concatenate([answers(program, p) for p in parts]),
        "OpenVINO": _load("openvino", openvino),
    }


def _openvino(model: bytes, n: int, hint: str):
    ov = importlib.import_module("openvino")
    core = ov.Core()
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": n,
        "PERFORMANCE_HINT": hint,
    }
    return core.compile_model(core.read_model(io.BytesIO(model)), "CPU", options)
