"""Relevance maps of MoRE against an independent PyTorch run of the published rules."""

import numpy as np
import pytest
import witness_more

import ecgkit as ek
from ecgkit.models import _relevance

CASE = {"depth": 2, "num_classes": 4}
WEIGHTS = witness_more.weights(seed=2, **CASE)
torch = pytest.importorskip("torch")
pytest.importorskip("skimage")


@pytest.fixture(scope="module")
def model():
    return ek.load_model("more", weights=WEIGHTS)


@pytest.fixture(scope="module")
def chest():
    rng = np.random.default_rng(3)
    grey = rng.integers(20, 200, (8, 8)).repeat(32, 0).repeat(32, 1) + rng.integers(
        0, 30, (256, 256)
    )
    return np.repeat(grey[..., None].astype(np.uint8), 3, axis=-1)


# ------------------------------------------------------- the published rules
def sd(a, b):
    den = b.clamp(min=1e-9) + b.clamp(max=1e-9)
    return a / (den + den.eq(0).to(b.dtype) * 1e-9) * b.ne(0).to(b.dtype)


def simple(f, inputs, r):
    """Input times gradient of the output, with r over the output behind it: matrix products."""
    inputs = [x.detach().requires_grad_() for x in inputs]
    z = f(*inputs)
    grads = torch.autograd.grad(z, inputs, sd(r, z.detach()))
    return [(x * g).detach() for x, g in zip(inputs, grads)]


def linear(x, w, r):
    px, nx = (x.clamp(**k).detach().requires_grad_() for k in ({"min": 0}, {"max": 0}))
    z1, z2 = px @ w.clamp(min=0).T, nx @ w.clamp(max=0).T
    s = sd(r, (z1 + z2).detach())
    g1, g2 = torch.autograd.grad(z1, px, s)[0], torch.autograd.grad(z2, nx, s)[0]
    return (px * g1 + nx * g2).detach()


def add(a, b, r):
    s = sd(r, a + b)
    a, b = a * s, b * s
    total = a.sum().abs() + b.sum().abs()
    fa, fb = (sd(v.sum().abs(), total) * r.sum() for v in (a, b))
    return a * sd(fa, a.sum()), b * sd(fb, b.sum())


def batch_norm(x, w, at, r):
    scale = w[f"{at}.weight"] / (w[f"{at}.running_var"] ** 2 + 1e-5) ** 0.5
    return x * (r / (x * scale + 1e-9) * scale)


class Tower:
    """Forward with autograd, everything that the rules need on the way."""

    def __init__(self, w, at, end, tokens):
        F = torch.nn.functional
        self.w, self.at, self.end = w, f"{at}.vit_model", f"{end}.layers"
        ln = lambda k, x: F.layer_norm(x, (768,), w[f"{k}.weight"], w[f"{k}.bias"], 1e-6)  # noqa: E731
        h = torch.cat([w[f"{self.at}.cls_token"][0], tokens]) + w[f"{self.at}.pos_embed"][0]
        self.blocks, i = [], 0
        while f"{self.at}.blocks.{i}.norm1.weight" in w:
            b = f"{self.at}.blocks.{i}"
            k = {"at": b, "x": h, "a": ln(f"{b}.norm1", h)}
            qkv = (k["a"] @ w[f"{b}.attn.qkv.weight"].T).reshape(197, 3, 12, 64)
            k["q"], k["k"], k["v"] = qkv.permute(1, 2, 0, 3)
            k["A"] = ((k["q"] @ k["k"].transpose(-1, -2)) / 8).softmax(-1)
            k["o"] = (k["A"] @ k["v"]).transpose(0, 1).reshape(197, 768)
            k["p"] = k["o"] @ w[f"{b}.attn.proj.weight"].T + w[f"{b}.attn.proj.bias"]
            k["x1"] = h + k["p"]
            k["b"] = ln(f"{b}.norm2", k["x1"])
            k["g"] = F.gelu(k["b"] @ w[f"{b}.mlp.fc1.weight"].T + w[f"{b}.mlp.fc1.bias"])
            k["m"] = k["g"] @ w[f"{b}.mlp.fc2.weight"].T + w[f"{b}.mlp.fc2.bias"]
            h = k["x1"] + k["m"]
            self.blocks.append(k)
            i += 1
        self.cls = ln(f"{self.at}.norm", h)[0]
        self.z0 = self.cls @ w[f"{self.end}.0.linear.weight"].T
        self.y = F.relu(self.norm(self.z0, f"{self.end}.0.bn"))
        self.z2 = self.y @ w[f"{self.end}.2.linear.weight"].T
        self.out = self.norm(self.z2, f"{self.end}.2.bn")

    def norm(self, x, at):
        from model_witness import batch_norm

        return batch_norm(self.w, at, x[None])[0]

    def map(self, logit, r):
        w = self.w
        grads = torch.autograd.grad(logit, [k["A"] for k in self.blocks], retain_graph=True)
        r = linear(self.y, w[f"{self.end}.2.linear.weight"],
                   batch_norm(self.z2, w, f"{self.end}.2.bn", r))  # fmt: skip
        r = linear(self.cls, w[f"{self.end}.0.linear.weight"],
                   batch_norm(self.z0, w, f"{self.end}.0.bn", r))  # fmt: skip
        rows = torch.zeros(197, 768, dtype=r.dtype)
        rows[0] = self.cls * sd(r, self.cls)
        m, r = torch.eye(197, dtype=r.dtype), rows.detach()
        for k, grad in zip(reversed(self.blocks), reversed(grads)):
            b = k["at"]
            r1, rm = add(k["x1"], k["m"], r)
            rm = linear(k["g"], w[f"{b}.mlp.fc2.weight"], rm)
            rm = linear(k["b"], w[f"{b}.mlp.fc1.weight"], rm)
            r = k["x1"] * (sd(r1, k["x1"]) + sd(rm, k["x1"]))
            r0, rp = add(k["x"], k["p"], r.detach())
            rp = linear(k["o"], w[f"{b}.attn.proj.weight"], rp)
            rp = rp.reshape(197, 12, 64).transpose(0, 1)
            ra, rv = (v / 2 for v in simple(lambda a, v: a @ v, [k["A"], k["v"]], rp))
            rq, rk = (v / 2 for v in simple(lambda q, k: q @ k.transpose(-1, -2),
                                            [k["q"], k["k"]], ra))  # fmt: skip
            qkv = torch.stack([rq, rk, rv]).permute(2, 0, 1, 3).reshape(197, 2304)
            rq = linear(k["a"], w[f"{b}.attn.qkv.weight"], qkv)
            r = k["x"] * (sd(r0, k["x"]) + sd(rq, k["x"]))
            m = m @ (torch.eye(197, dtype=r.dtype) + (grad * ra).clamp(min=0).mean(0))
        return m[0, 1:]


def published(model, signals, picture, which):
    w = {k: torch.from_numpy(np.array(v)) for k, v in WEIGHTS.items()}
    w = {k: v.double() if v.is_floating_point() else v for k, v in w.items()}
    F = torch.nn.functional
    x = torch.from_numpy(picture).double().requires_grad_()
    at = "xray_model.vit_model.patch_embed.proj"
    patches = F.conv2d(x, w[f"{at}.weight"], w[f"{at}.bias"], stride=16)[0].flatten(1).T
    xray = Tower(w, "xray_model", "projector_xray", patches)
    h = torch.from_numpy(signals).double().requires_grad_()
    for i, stride in ((1, 5), (2, 1)):
        k = f"ecg_model.vit_model.patch_embed.conv{i}"
        h = F.relu(F.conv1d(h, w[f"{k}.0.weight"], w[f"{k}.0.bias"], stride=stride))
        h = torch.nn.functional.batch_norm(
            h, *(w[f"{k}.2.{n}"] for n in ("running_mean", "running_var")),
            w[f"{k}.2.weight"], w[f"{k}.2.bias"],
        )  # fmt: skip
    ecg = Tower(w, "ecg_model", "projector_ecg", h[0].T)
    both = torch.cat([xray.out, ecg.out])
    logit = (both @ w["fc.1.weight"].T + w["fc.1.bias"])[which]
    chosen = torch.zeros(4, dtype=both.dtype)
    chosen[which] = 1
    r = linear(both, w["fc.1.weight"], chosen)
    maps = [t.map(logit, part).detach() for t, part in zip((xray, ecg), r.split(128))]
    picture = F.interpolate(maps[0].reshape(1, 1, 14, 14), scale_factor=16, mode="bilinear")[0, 0]
    return [((v - v.min()) / (v.max() - v.min())).numpy() for v in (maps[1], picture)]


# ---------------------------------------------------------------- claims
@pytest.mark.torch
@pytest.mark.parametrize("label", ["Edema", "Atelectasis"])
def test_the_maps_are_those_of_the_published_rules(model, chest, label):
    rec = ek.synth.ecg(seed=1)
    found = model.relevance(rec, chest, label=label)
    signals, picture = model.preprocess(rec), model.preprocess_image(chest)
    want = published(model, signals, picture, model.labels.index(label))
    for got, exact in zip((found.ecg, found.xray), want):
        assert got.shape == exact.shape
        assert np.corrcoef(got.ravel(), exact.ravel())[0, 1] > 0.999
        assert abs(got - exact).max() < 1e-3
    assert abs(found.probability - model.classify_pair(rec, chest)[label]) < 1e-5


def test_it_shows_itself_and_speaks_of_the_most_probable_finding(model, chest):
    pytest.importorskip("matplotlib")
    rec = ek.synth.ecg(seed=1)
    found = model.relevance(rec, chest)
    assert found.label == model.classify_pair(rec, chest).top
    assert found.samples.shape == (1000,)
    assert np.array_equal(found.samples[12::5][:196], found.ecg)
    assert f"Relevance for {found.label}" in repr(found)
    assert found.plot().axes


def test_relevance_of_a_linear_layer_is_conserved():
    rng = np.random.default_rng(0)
    x, w, r = rng.normal(size=(5, 8)), rng.normal(size=(6, 8)), rng.uniform(size=(5, 6))
    assert abs(_relevance.through_linear(x, w, r).sum() - r.sum()) < 1e-6
    parts = _relevance.through_sum(x, x[::-1], rng.uniform(size=x.shape))
    assert all(np.isfinite(p).all() for p in parts)


def test_what_cannot_be_explained_is_refused(model, chest):
    rec = ek.synth.ecg()
    with pytest.raises(ek.EcgkitError, match="no label 'X'"):
        model.relevance(rec, chest, label="X")
    with pytest.raises(ek.LayoutError, match="got 2 and 1"):
        model.relevance([rec, rec], chest)
    bare = ek.load_model("more", weights="random", depth=1, text_layers=0, xray=False)
    with pytest.raises(ek.EcgkitError, match="has no head"):
        bare.relevance(rec, chest)
