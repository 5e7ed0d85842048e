"""MERL: the authors' key layouts, parity with PyTorch, zero-shot, heads."""

import numpy as np
import pytest

import ecgkit as ek
from ecgkit.models.merl import MIMIC_LEADS, Merl


def weights(seed=0, *, text=True, **variant):
    """Random weights in the authors' layout, with the keys that the forward leaves unused."""
    rng = np.random.default_rng(seed)
    full = Merl.complete(variant)
    found = {}
    for key, shape in Merl.expected(**full).items():
        fan = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        if key.endswith("running_var"):
            value = rng.uniform(0.5, 2, shape)
        elif "norm" in key or (len(shape) == 1 and key.endswith("weight")):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.normal(0, fan**-0.5 if len(shape) > 1 else 0.1, shape)
        found[key] = value.astype(np.float32)
    if full["aligned"] and text:
        found |= {"lm_model.pooler.dense.weight": np.ones((3, 3)), "proj_t.0.bias": np.ones(3)}
        found |= {"linear1.weight": np.ones((256, 256)), "linear2.weight": np.ones((256, 256))}
        if full["network"] == "resnet18":
            found |= {"ecg_encoder.linear.weight": np.ones((10, 512)),
                      "ecg_encoder.linear.bias": np.ones(10)}  # fmt: skip
    return found


def norm(F, w, at, x):
    keys = ("running_mean", "running_var", "weight", "bias")
    return F.batch_norm(x, *(w[f"{at}.{k}"] for k in keys))


def resnet(F, w, x):
    h = F.relu(norm(F, w, "bn1", F.conv1d(x, w["conv1.weight"], stride=2, padding=3)))
    for stage in range(1, 5):
        for b in range(2):
            at, stride = f"layer{stage}.{b}", 2 if stage > 1 and b == 0 else 1
            y = F.conv1d(h, w[f"{at}.conv1.weight"], stride=stride, padding=1)
            y = F.conv1d(F.relu(norm(F, w, f"{at}.bn1", y)), w[f"{at}.conv2.weight"], padding=1)
            if stride == 2:
                h = F.conv1d(h, w[f"{at}.shortcut.0.weight"], stride=2)
                h = norm(F, w, f"{at}.shortcut.1", h)
            h = F.relu(norm(F, w, f"{at}.bn2", y) + h)
    return h


def vit(torch, w, x, width):
    F = torch.nn.functional
    h = F.conv1d(x, w["to_patch_embedding.weight"], stride=50).transpose(1, 2) + w["pos_embedding"]
    n, tokens, _ = h.shape

    def ln(at, x):
        return F.layer_norm(x, (width,), w[f"{at}.weight"], w[f"{at}.bias"], 1e-5)

    for i in range(12):
        a, f = f"block{i}.attn", f"block{i}.ff"
        qkv = F.linear(ln(f"{a}.norm", h), w[f"{a}.fn.to_qkv.weight"], w[f"{a}.fn.to_qkv.bias"])
        q, k, v = (t.reshape(n, tokens, width // 64, 64).transpose(1, 2) for t in qkv.chunk(3, -1))
        y = ((q @ k.transpose(-1, -2)) / 8).softmax(-1) @ v
        y = y.transpose(1, 2).reshape(n, tokens, width)
        h = h + F.linear(y, w[f"{a}.fn.to_out.0.weight"], w[f"{a}.fn.to_out.0.bias"])
        y = F.gelu(F.linear(ln(f"{f}.norm", h), w[f"{f}.fn.net.0.weight"], w[f"{f}.fn.net.0.bias"]))
        h = h + F.linear(y, w[f"{f}.fn.net.3.weight"], w[f"{f}.fn.net.3.bias"])
    return ln("norm", h.mean(1))


def reference(torch, given, x, network, aligned, width, kind):
    F = torch.nn.functional
    w = {k: torch.from_numpy(np.asarray(v)).to(kind) for k, v in given.items()}
    x = torch.from_numpy(x).to(kind)
    inner = {k.removeprefix("ecg_encoder."): v for k, v in w.items()}
    if network != "resnet18":
        h = vit(torch, inner, x, width)
        if aligned:
            h = F.linear(h, w["proj_e.0.weight"], w["proj_e.0.bias"])
            h = F.relu(norm(F, w, "proj_e.1", h))
            h = norm(F, w, "proj_e.4", F.linear(h, w["proj_e.3.weight"], w["proj_e.3.bias"]))
    else:
        h = resnet(F, inner, x)
        if not aligned:
            h = h.mean(-1)
        else:
            f = F.conv1d(h, w["downconv.weight"], w["downconv.bias"]).permute(2, 0, 1)
            at = "att_pool_head."
            position = w[f"{at}positional_embedding"].transpose(0, 1)
            c = (w[f"{at}cls_token"] + position[:1]).expand(1, f.shape[1], 256)
            t = torch.cat([c, f]) + position
            h, _ = F.multi_head_attention_forward(
                t[:1], t, t, 256, 4, w[f"{at}mhsa.in_proj_weight"], w[f"{at}mhsa.in_proj_bias"],
                None, None, False, 0.0, w[f"{at}mhsa.out_proj.weight"],
                w[f"{at}mhsa.out_proj.bias"], training=False,
            )  # fmt: skip
            h = F.linear(h[0], w[f"{at}c_proj.weight"], w[f"{at}c_proj.bias"])
    if aligned:
        return F.normalize(h, dim=-1)
    head = "linear" if network == "resnet18" else "head"
    return F.linear(h, w[f"{head}.weight"], w[f"{head}.bias"]) if f"{head}.weight" in w else h


CASES = [
    ("resnet18", True, 0, 512),
    ("resnet18", False, 0, 512),
    ("resnet18", False, 5, 512),
    ("vit_tiny", True, 0, 192),
    ("vit_tiny", False, 3, 192),
    ("vit_small", False, 0, 384),
]


@pytest.mark.parametrize(("network", "aligned", "classes", "width"), CASES)
def test_the_layout_loads_and_answers_like_pytorch(network, aligned, classes, width):
    torch = pytest.importorskip("torch")
    w = weights(network=network, aligned=aligned, num_classes=classes)
    head = {"num_classes": classes} if classes else {}
    m = ek.load_model("merl", weights={f"module.{k}": v for k, v in w.items()}, **head)
    assert m.variant == {"network": network, "aligned": aligned, "num_classes": classes}
    x = np.random.default_rng(1).uniform(size=(2, 12, 5000)).astype(np.float32)
    got = m.forward(x)
    with torch.inference_mode():
        want, theirs = (
            reference(torch, w, x, network, aligned, width, kind).numpy()
            for kind in (torch.float64, torch.float32)
        )
    scale = np.linalg.norm(want)
    error = np.linalg.norm(got - want) / scale
    assert error <= 2 * np.linalg.norm(theirs - want) / scale + 1e-7
    assert np.array_equal(m.forward(x[1:]), got[1:])


def test_a_leftover_head_of_another_size_is_dropped_unless_it_is_wanted():
    w = weights(aligned=False) | {"linear.weight": np.ones((10, 512)), "linear.bias": np.ones(10)}
    assert ek.load_model("merl", weights=w).forward(np.zeros((1, 12, 5000))).shape == (1, 512)
    with pytest.raises(ek.WeightsError, match=r"linear.weight has \(10, 512\), wanted \(5, 512\)"):
        ek.load_model("merl", weights=w, num_classes=5)


def test_leads_go_in_the_order_of_mimic_and_span_0_to_1():
    m = ek.load_model("merl", weights="random")
    rec = ek.synth.ecg()
    x = m.preprocess(rec)[0]
    assert x.min() == 0
    assert abs(x.max() - 1) < 1e-6
    raw = np.stack([rec.signal[rec.leads.index(lead)] for lead in MIMIC_LEADS]).astype(np.float64)
    np.testing.assert_allclose(x, (raw - raw.min()) / (np.ptp(raw) + 1e-8), atol=1e-7)


def test_zero_shot_scores_are_cosines():
    m = ek.load_model("merl", weights=weights())
    rec, rng = ek.synth.ecg(), np.random.default_rng(2)
    classes = {"AFIB": rng.normal(size=256), "SR": 7 * m.embed(rec)}
    got = m.zero_shot(rec, classes)
    assert got.shape == (2,)
    assert abs(got[1] - 1) < 1e-6
    assert m.zero_shot([rec, rec], classes).shape == (2, 2)
    with pytest.raises(ek.LayoutError, match="256 finite numbers"):
        m.zero_shot(rec, {"a": np.ones(3)})
    with pytest.raises(ek.EcgkitError, match=r"embed\(x\), zero_shot"):
        m(rec)
    with pytest.raises(ek.EcgkitError, match="no projection"):
        ek.load_model("merl", weights=weights(aligned=False)).zero_shot(rec, classes)


def test_choices_that_do_not_go_together_are_refused():
    with pytest.raises(ek.EcgkitError, match="stands on the encoder alone"):
        ek.load_model("merl", weights="random", aligned=True, num_classes=3)
    with pytest.raises(ek.WeightsError, match="a ViT of width 100"):
        ek.load_model("merl", weights={"to_patch_embedding.weight": np.zeros((100, 12, 50))})
