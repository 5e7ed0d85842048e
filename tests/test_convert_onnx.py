"""from_onnx: conformance, networks that packages carry, what is refused, files that lie."""

import contextlib

import numpy as np
import pytest
from onnx_nodes import cases, judge

import ecgkit as ek

onnx = pytest.importorskip("onnx")
helper, numpy_helper, proto = onnx.helper, onnx.numpy_helper, onnx.TensorProto
rng = np.random.default_rng(0)


def weight(name, *shape, scale=0.3):
    return numpy_helper.from_array((scale * rng.standard_normal(shape)).astype(np.float32), name)


def info(name, shape, kind=proto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, inputs, outputs, weights=(), opset=17):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(op, inputs, outputs, name=None, **attributes):
    return helper.make_node(op, inputs, outputs, name=name or f"{op}_{outputs[0]}", **attributes)


def one(op, *, shape=("n", 3, 40), constants=(), opset=17, **attributes):
    """A file of one node on one input."""
    names = ["x", *(c.name for c in constants)]
    ends = [info("x", shape)], [info("y", None)]
    return model([node(op, names, ["y"], "it", **attributes)], *ends, constants, opset)


def small(batch="n"):
    """Convolution, shape arithmetic, a residual and a head, as exporters write them."""
    nodes = [
        node("Conv", ["ecg", "w1", "b1"], ["c1"], "/stem/Conv", pads=[3, 3], strides=[2]),
        node("BatchNormalization", ["c1", "s", "t", "m", "v"], ["n1"], "/norm/BN"),
        node("Relu", ["n1"], ["r1"], "/norm/Relu"),
        node("Conv", ["r1", "w2"], ["c2"], "/body/Conv", pads=[1, 1]),
        node("Add", ["c2", "r1"], ["a"], "/body/Add"),
        node("GlobalAveragePool", ["a"], ["p"], "/pool"),
        node("Shape", ["p"], ["sh"]),
        node("Gather", ["sh", "zero"], ["rows"]),
        node("Unsqueeze", ["rows", "axes"], ["rows1"]),
        node("Concat", ["rows1", "minus"], ["to"], axis=0),
        node("Reshape", ["p", "to"], ["flat"], "/flatten"),
        node("Gemm", ["flat", "wh", "bh"], ["logits"], "/head/Gemm", transB=1),
    ]
    ints = {"zero": np.int64(0), "axes": np.array([0]), "minus": np.array([-1])}
    weights = [
        *(weight("w1", 16, 12, 7), weight("b1", 16), weight("w2", 16, 16, 3)),
        *(weight(k, 16) for k in "stm"),
        numpy_helper.from_array(rng.uniform(0.5, 1.5, 16).astype(np.float32), "v"),
        *(weight("wh", 5, 16), weight("bh", 5)),
        *(numpy_helper.from_array(a, k) for k, a in ints.items()),
    ]
    return model(nodes, [info("ecg", (batch, 12, 400))], [info("logits", (batch, 5))], weights)


def by_runtime(file, *xs):
    """ONNX Runtime's answer, the witness."""
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: x for i, x in zip(session.get_inputs(), xs)})


@pytest.mark.parametrize("batch", ["n", 1])
def test_a_network_agrees_with_onnx_runtime_under_the_names_of_its_nodes(batch):
    file = small(batch).SerializeToString()
    program = ek.nn.from_onnx(file)
    x = rng.standard_normal((4, 12, 400)).astype(np.float32)
    expected = np.concatenate([by_runtime(file, x[i : i + 1])[0] for i in range(4)])
    np.testing.assert_allclose(program(x), expected, rtol=1e-5, atol=1e-6)
    assert "/stem/Conv+/norm/BN+/norm/Relu" in str(program)
    assert program(x, taps=["/pool"])["/pool"].shape == (4, 16, 1)
    assert program.outputs == {"logits": (5,)}


def test_a_path_a_message_and_bytes_are_the_same(tmp_path):
    file = small()
    onnx.save(file, tmp_path / "net.onnx")
    x = np.ones((1, 12, 400), np.float32)
    y = ek.nn.from_onnx(file)(x)
    for source in (tmp_path / "net.onnx", str(tmp_path / "net.onnx"), file.SerializeToString()):
        np.testing.assert_array_equal(ek.nn.from_onnx(source)(x), y)
    assert ek.nn.from_onnx(tmp_path / "net.onnx").name == "net"


def test_open_lengths_are_given_by_name():
    file = model([node("Relu", ["x"], ["y"])], [info("x", ("n", 12, "t"))], [info("y", None)])
    with pytest.raises(ek.LayoutError, match=r"'x' leaves lengths open, \(12, None\)"):
        ek.nn.from_onnx(file)
    assert ek.nn.from_onnx(file, {"x": (12, 7)}).inputs == {"x": (12, 7)}
    with pytest.raises(ek.LayoutError, match="no input is called 'z'"):
        ek.nn.from_onnx(file, {"z": (12, 7)})


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
@pytest.mark.parametrize("way", ["forward", "reverse", "bidirectional"])
def test_recurrence_over_time_first(cell, way):
    d, gates = (2 if way == "bidirectional" else 1), {"LSTM": 4, "GRU": 3}[cell]
    options = {"linear_before_reset": 1} if cell == "GRU" else {}
    outputs = ["y", "h"]
    turn = node("Transpose", ["x"], ["xt"], perm=[1, 0, 2])
    weights = [weight("w", d, gates * 8, 6), weight("r", d, gates * 8, 8)]
    weights.append(weight("b", d, 2 * gates * 8))
    layer = node(cell, ["xt", "w", "r", "b"], outputs, hidden_size=8, direction=way, **options)
    ends = [info("x", ("n", 20, 6))], [info(o, None) for o in outputs]
    file = model([turn, layer], *ends, weights).SerializeToString()
    x = rng.standard_normal((3, 20, 6)).astype(np.float32)
    y, h = by_runtime(file, x)
    got = ek.nn.from_onnx(file)(x)
    np.testing.assert_allclose(got[0], y.transpose(2, 0, 1, 3), atol=2e-6)  # the batch in front
    np.testing.assert_allclose(got[1], h.transpose(1, 0, 2), atol=2e-6)


def test_unfused_attention_of_two_tensors():
    nodes = [
        node("MatMul", ["x", "wq"], ["q"]),
        node("MatMul", ["x", "wk"], ["k"]),
        node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], ["s"]),
        node("Softmax", ["s"], ["a"], axis=-1),
        node("MatMul", ["a", "x"], ["y"]),
    ]
    weights = [weight("wq", 16, 16), weight("wk", 16, 16)]
    file = model(nodes, [info("x", ("n", 30, 16))], [info("y", None)], weights).SerializeToString()
    x = rng.standard_normal((2, 30, 16)).astype(np.float32)
    np.testing.assert_allclose(ek.nn.from_onnx(file)(x), by_runtime(file, x)[0], atol=1e-5)


@pytest.mark.slow
def test_every_node_of_the_conformance_suite_is_right_or_refused():
    passed, refused, wrong = [], {}, {}
    for name, file, inputs, outputs in cases():
        try:
            why = judge(file, inputs, outputs)
        except Exception as error:
            wrong[name] = repr(error)[:200]
            continue
        if why:
            refused[name] = why
        else:
            passed.append(name)
    print(f"{len(passed)} passed, {len(refused)} refused")
    assert wrong == {}
    assert len(passed) >= 600
    places = (": node ", ": output ", ": input ", ": constant ", "operator set")
    assert [why for why in refused.values() if not any(p in why for p in places)] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet"],
)
def test_networks_that_the_onnx_package_carries(name):
    folder = onnx.__path__[0] + "/backend/test/data/light"
    with open(f"{folder}/light_{name}.onnx", "rb") as stream:
        file = stream.read()
    program = ek.nn.from_onnx(file)
    (shape,) = program.inputs.values()
    x = rng.standard_normal((1, *shape)).astype(np.float32)
    (expected,) = by_runtime(file, x)
    got = program(x)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


# ---- what is refused


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (one("Det", shape=("n", 3, 3)), "node 'it': Det: the engine has no such op"),
        (one("Softmax", axis=0), "axis 0, which holds the batch"),
        (one("ReduceMean", axes=[0]), "mixes samples"),
        (one("ArgMax"), "ArgMax"),
        (one("Cast", to=proto.INT64), "turns numbers into INT64"),
        (one("MaxPool", kernel_shape=[2, 2, 2], shape=("n", 1, 4, 4, 4)), "3 axes"),
        (one("Conv", constants=[weight("w", 4, 9, 3)]), "weight has shape"),
        (one("Relu", opset=3), "opset 3"),
        (model([node("If", ["x"], ["y"])], [info("x", ("n",))], [info("y", None)]), "condition"),
        (
            model([node("Odd", ["x"], ["y"], domain="my.ops")], [info("x", ("n", 2))], []),
            "operator set 'my.ops'",
        ),
    ],
)
def test_what_cannot_be_converted_is_named(file, message):
    with pytest.raises(ek.ConversionError, match=message):
        ek.nn.from_onnx(file)


# ---- files that are damaged or lie


def test_every_cut_of_a_file_is_refused_with_a_typed_error():
    data = small().SerializeToString()
    for cut in [0, 1, 2, 10, *range(50, len(data), len(data) // 40)]:
        with pytest.raises(ek.EcgkitError):
            ek.nn.from_onnx(data[:cut])


def test_noise_in_a_file_never_raises_anything_untyped():
    data = bytearray(small().SerializeToString())
    noise = np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(data)
        for at in noise.integers(0, len(data), 4):
            damaged[at] = noise.integers(256)
        with contextlib.suppress(ek.EcgkitError):
            ek.nn.from_onnx(bytes(damaged))


def lying(**changes):
    t = proto(name="w", data_type=proto.FLOAT, dims=[4, 3, 3], raw_data=b"\0" * 144)
    for key, value in changes.items():
        if key == "dims":
            del t.dims[:]
            t.dims.extend(value)
        else:
            setattr(t, key, value)
    return one("Conv", constants=[t])


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (lying(dims=[1 << 40, 1 << 40]), "impossible shape"),
        (lying(dims=[-1, 3, 3]), "impossible shape"),
        (lying(dims=[1 << 20, 3, 3]), "needs 37748736"),
        (lying(raw_data=b"\0" * 143), "143 bytes of data"),
        (lying(data_type=99), "unknown data type 99"),
    ],
)
def test_constants_that_lie_about_their_size(file, message):
    with pytest.raises(ek.FormatError, match=message):
        ek.nn.from_onnx(file)


def test_cycles_and_unknown_names():
    nodes = [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"])]
    file = model(nodes, [info("x", ("n", 2))], [info("b", None)])
    with pytest.raises(ek.FormatError, match="reads 'b', which no node before it makes: a cycle"):
        ek.nn.from_onnx(file)
    file = model([node("Relu", ["x"], ["y"])], [info("x", ("n", 2))], [info("z", None)])
    with pytest.raises(ek.FormatError, match="output 'z' is never made"):
        ek.nn.from_onnx(file)


@pytest.mark.parametrize(
    ("op", "constants"),
    [
        ("ConstantOfShape", [np.array([1 << 40])]),
        ("Expand", [np.float32(0), np.array([1 << 20, 1 << 20])]),
        ("Tile", [np.zeros((4, 4), np.float32), np.array([1 << 20, 1 << 20])]),
        ("Range", [np.int64(0), np.int64(1 << 50), np.int64(1)]),
        ("Pad", [np.zeros(2, np.float32), np.array([0, 1 << 50])]),
        ("OneHot", [np.zeros(4, np.int64), np.int64(1 << 50), np.zeros(2, np.float32)]),
        ("Add", [np.zeros((1 << 18, 1), np.float32), np.zeros((1, 1 << 18), np.float32)]),
    ],
)
def test_constants_that_would_grow_huge_are_not_computed(op, constants):
    names = [f"c{i}" for i in range(len(constants))]
    weights = [numpy_helper.from_array(np.asarray(c), n) for c, n in zip(constants, names)]
    nodes = [node(op, names, ["big"], "bomb"), node("Add", ["x", "big"], ["y"])]
    file = model(nodes, [info("x", ("n", 2))], [info("y", None)], weights)
    with pytest.raises(ek.ConversionError, match=f"node 'bomb': {op}: a constant of"):
        ek.nn.from_onnx(file)


def external(location, offset=0, length=144):
    t = proto(name="w", data_type=proto.FLOAT, dims=[4, 3, 3], data_location=proto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        t.external_data.add(key=key, value=str(value))
    return one("Conv", constants=[t])


def test_weights_in_another_file_of_the_folder(tmp_path):
    w = rng.standard_normal((4, 3, 3)).astype(np.float32)
    (tmp_path / "w.bin").write_bytes(b"head" + w.tobytes())
    path = tmp_path / "net.onnx"
    path.write_bytes(external("w.bin", 4).SerializeToString())
    x = rng.standard_normal((2, 3, 40)).astype(np.float32)
    np.testing.assert_allclose(ek.nn.from_onnx(path)(x), ek.nn.conv1d(x, w), rtol=1e-6)
    with pytest.raises(ek.ConversionError, match="pass the model's path"):
        ek.nn.from_onnx(path.read_bytes())


def test_external_weights_never_leave_the_folder(tmp_path):
    (tmp_path / "secret").write_bytes(b"\0" * 144)
    home = tmp_path / "home"
    home.mkdir()
    (home / "link").symlink_to(tmp_path / "secret")
    path = home / "net.onnx"
    for location in ("../secret", str(tmp_path / "secret"), "link", "a/../../secret", "", "."):
        path.write_bytes(external(location).SerializeToString())
        with pytest.raises(ek.FormatError, match="not in the model's folder"):
            ek.nn.from_onnx(path)
    (home / "short").write_bytes(b"\0" * 100)
    for location, offset, length, message in (
        ("gone", 0, 144, "is missing"),
        ("short", 0, 144, "has 100"),
        ("short", -8, 144, "at -8"),
        ("short", 0, 1 << 60, "shape needs 144"),
        ("short", "x", 144, "no number"),
    ):
        path.write_bytes(external(location, offset, length).SerializeToString())
        with pytest.raises(ek.FormatError, match=message):
            ek.nn.from_onnx(path)


def test_what_is_no_model_at_all():
    with pytest.raises(ek.FormatError, match="not an ONNX file"):
        ek.nn.from_onnx(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(TypeError, match="wanted a path"):
        ek.nn.from_onnx(42)
    with pytest.raises(FileNotFoundError):
        ek.nn.from_onnx("no/such/file.onnx")
