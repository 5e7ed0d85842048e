"""ECGFounder: the authors' key layout, parity with PyTorch, heads of one's own."""

import os
from pathlib import Path

import numpy as np
import pytest

import ecgkit as ek
from ecgkit.models._model import random_tensors
from ecgkit.models.ecgfounder import BLOCKS, WIDTHS, ECGFounder

MANIFESTS = Path(os.environ.get("ECGKIT_DATA", "../shared/data")).parent / "specs" / "manifests"


def manifest(leads):
    path = MANIFESTS / f"ecgfounder_{leads}lead.tsv"
    if not path.is_file():
        pytest.skip("the manifests are not here")
    rows = [line.split("\t") for line in path.read_text().splitlines() if line[:1] != "#"]
    return {
        row[0]: tuple(map(int, row[1].split("x"))) if row[1:] and row[1] else () for row in rows
    }


def authors(leads, seed=0):
    """Random weights with every key of the published file, batch norms far from the identity."""
    rng = np.random.default_rng(seed)
    wanted = ECGFounder.expected(**ECGFounder.complete({"leads": leads}))
    good = random_tensors(wanted, seed)
    found = {}
    for key, shape in manifest(leads).items():
        noise = rng.uniform(0.5, 3, shape).astype(np.float32)
        found[key] = good.get(key, noise)
        if key.endswith("bias") and key in good:
            found[key] = rng.normal(0, 0.1, shape).astype(np.float32)
    return found


def reference(torch, w, x, double):
    """Net1D written from the specification."""
    F = torch.nn.functional
    kind = torch.float64 if double else torch.float32
    w = {k: torch.from_numpy(np.asarray(v)).to(kind) for k, v in w.items() if "bn" not in k}

    def conv(x, at, stride=1, groups=1):
        k = w[f"{at}.weight"].shape[-1]
        total = max(0, (-(-x.shape[-1] // stride) - 1) * stride + k - x.shape[-1])
        x = F.pad(x, (total // 2, total - total // 2))
        return F.conv1d(x, w[f"{at}.weight"], w[f"{at}.bias"], stride, groups=groups)

    x = F.silu(conv(torch.from_numpy(x).to(kind), "first_conv.conv", 2))
    blocks, cin, first = {}, 64, True
    for s, (cout, count) in enumerate(zip(WIDTHS, BLOCKS)):
        for b in range(count):
            at, stride = f"stage_list.{s}.block_list.{b}", 1 if b else 2
            h = F.silu(conv(x if first else F.silu(x), f"{at}.conv1.conv"))
            h = conv(F.silu(conv(h, f"{at}.conv2.conv", stride, cout // 16)), f"{at}.conv3.conv")
            g = F.silu(F.linear(h.mean(-1), w[f"{at}.se_fc1.weight"], w[f"{at}.se_fc1.bias"]))
            g = F.linear(g, w[f"{at}.se_fc2.weight"], w[f"{at}.se_fc2.bias"]).sigmoid()
            if stride == 2:
                x = F.max_pool1d(F.pad(x, (0, 1)), 2)
            pad = cout - cin
            x = h * g[..., None] + F.pad(x, (0, 0, pad // 2, pad - pad // 2))
            blocks[at] = x
            cin, first = cout, False
    features = x.mean(-1)
    blocks["features"] = features
    return F.linear(features, w["dense.weight"], w["dense.bias"]), blocks


@pytest.mark.parametrize("leads", [12, 1])
def test_the_published_layout_loads_and_answers_like_pytorch(leads):
    torch = pytest.importorskip("torch")
    w = authors(leads)
    m = ek.load_model("ecgfounder", weights=w, leads=leads)
    assert m.parameters == (30_819_014 if leads == 12 else 30_807_750) - 66_368
    x = np.random.default_rng(1).normal(size=(2, leads, 5000)).astype(np.float32)
    taps = ("stage_list.0.block_list.0", "stage_list.3.block_list.2", "features")
    got = m.forward(x, taps=taps)
    with torch.inference_mode():
        want, blocks = reference(torch, w, x, double=True)
        theirs, blocks32 = reference(torch, w, x, double=False)
    pairs = [(got["output"], want, theirs)] + [(got[t], blocks[t], blocks32[t]) for t in taps]
    for ours, f64, f32 in pairs:
        f64 = f64.numpy()
        scale = np.linalg.norm(f64)
        error = np.linalg.norm(ours - f64) / scale
        assert error <= 2 * np.linalg.norm(f32.numpy() - f64) / scale + 1e-7
    assert np.array_equal(m.forward(x[1:]), got["output"][1:])


def test_a_wrapped_checkpoint_of_torch_save_loads(tmp_path):
    torch = pytest.importorskip("torch")
    w = authors(12)
    state = {f"module.{k}": torch.from_numpy(np.asarray(v)) for k, v in w.items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "12_lead_ECGFounder.pth")
    m = ek.load_model("ecgfounder", weights=tmp_path / "12_lead_ECGFounder.pth")
    x = np.random.default_rng(1).normal(size=(1, 12, 5000)).astype(np.float32)
    assert np.array_equal(m.forward(x), ek.load_model("ecgfounder", weights=w).forward(x))
    without = {k: v for k, v in w.items() if "bn" not in k}  # some files may lack the batch norms
    assert ek.load_model("ecgfounder", weights=without).fingerprint == m.fingerprint


def test_a_record_goes_through_the_whole_contract():
    m = ek.load_model("ecgfounder", weights="random")
    p = m(ek.synth.ecg())
    assert p.probabilities.shape == (150,)
    assert ((p.probabilities >= 0) & (p.probabilities <= 1)).all()
    assert p["ATRIAL FIBRILLATION"] == p.probabilities[5]
    assert m.embed(ek.synth.ecg()).shape == (1024,)
    raw = ek.load_model("ecgfounder", weights="random", preprocess="zscore")
    assert not np.array_equal(raw(ek.synth.ecg()).probabilities, p.probabilities)


def test_one_lead_takes_lead_one_of_a_record():
    m = ek.load_model("ecgfounder", weights="random", leads=1)
    rec = ek.synth.ecg()
    assert np.array_equal(m.preprocess(rec), m.preprocess(rec.pick(["I"])))


def test_a_head_of_one_s_own():
    w = dict(random_tensors(ECGFounder.expected(12, "full", 3), 0))
    m = ek.load_model("ecgfounder", weights=w, num_classes=3)
    assert m.labels == ("class 0", "class 1", "class 2")
    assert m(ek.synth.ecg()).probabilities.shape == (3,)
    with pytest.raises(
        ek.WeightsError, match=r"dense.weight has \(3, 1024\), wanted \(150, 1024\)"
    ):
        ek.load_model("ecgfounder", weights=w)


def test_without_weights_the_error_says_where_they_are():
    with pytest.raises(ek.WeightsError, match="PKUDigitalHealth"):
        ek.load_model("ecgfounder")
