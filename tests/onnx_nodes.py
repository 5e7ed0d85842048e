"""The conformance tests of the ``onnx`` package, node by node: what passes, what is refused."""

import warnings

import numpy as np

import ecgkit as ek


def cases():
    """``(name, model, inputs, outputs)`` of every node test on plain arrays with a float input."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases()
    for case in found:
        if not case.data_sets or case.model is None:
            continue
        inputs, outputs = case.data_sets[0]
        plain = all(isinstance(a, np.ndarray) and a.dtype.kind in "fiub" for a in inputs)
        plain &= all(isinstance(a, np.ndarray) and a.dtype.kind in "fiub" for a in outputs)
        live = [a for a in inputs if isinstance(a, np.ndarray) and a.dtype.kind == "f" and a.size]
        if plain and live and len(inputs) == len(case.model.graph.input):
            yield case.name, case.model, inputs, outputs


def with_constants(model, inputs, live):
    """The model as bytes, inputs that are not ``live`` as constants of the file."""
    import onnx

    out = onnx.ModelProto()
    out.CopyFrom(model)
    del out.graph.input[:]
    for j, (info, a) in enumerate(zip(model.graph.input, inputs)):
        if j in live:
            out.graph.input.append(info)
        else:
            out.graph.initializer.append(onnx.numpy_helper.from_array(a, info.name))
    return out.SerializeToString()


def judge(model, inputs, outputs) -> str:
    """``""`` where the program gives the expected numbers, the refusal where it is refused."""
    floats = [j for j, a in enumerate(inputs) if a.dtype.kind == "f" and a.size]
    why = ""
    for live in (floats, floats[:1]):  # weights may have to be constants
        try:
            program = ek.nn.from_onnx(with_constants(model, inputs, live), batch_axis=None)
        except ek.ConversionError as error:
            why = str(error)
            continue
        xs = tuple(np.asarray(inputs[j], np.float32)[None] for j in live)
        got = program(xs if len(xs) > 1 else xs[0])
        half = any(a.dtype.itemsize == 2 for a in [*inputs, *outputs])
        for a, b in zip(got if isinstance(got, tuple) else (got,), outputs, strict=True):
            assert a.shape[1:] == b.shape
            scale = np.abs(b[np.isfinite(b)]).max(initial=0.01)
            tolerance = 2e-3 if half else 1e-4
            np.testing.assert_allclose(a[0], b, rtol=tolerance, atol=tolerance * scale)
        return ""
    return why
