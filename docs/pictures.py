"""The pictures of the gallery, drawn whenever the pages are built."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import ecgkit as ek

INTRO = """# Gallery

Drawn by this build from `ek.sample()`, a real 12-lead recording. Paper is true to scale when it is
printed at 100 %: 25 mm/s unless the foot says otherwise, 10 mm/mV, the calibration pulse of 1 mV
and 200 ms in front of each row.
"""
TROUBLE = """
## Signal quality

The same recording, spoilt one way at a time. Below each picture: what `rec.quality()` flags, with
the number that is above its threshold ({doc}`how often on real recordings <quality_rates>`).
"""


def spoilt(rec: ek.Record) -> dict[str, ek.Record]:
    """The recording with one kind of trouble each."""
    rng = np.random.default_rng(0)
    t = np.arange(rec.n_samples) / rec.fs
    muscle = rng.normal(size=rec.signal.shape) * 0.12
    stepped, flat = rec.signal.copy(), rec.signal.copy()
    stepped[6:9, round(0.62 * rec.n_samples) :] += 0.8
    flat[10, rec.n_samples // 3 :] = flat[10, rec.n_samples // 3]
    swapped = rec.signal.copy()
    swapped[[0, 1, 2, 3, 4]] = [-rec["I"], rec["III"], rec["II"], rec["aVL"], rec["aVR"]]
    signals = {
        "Mains": rec.signal + 0.06 * np.sin(2 * np.pi * 50 * t),
        "Baseline wander": rec.signal + 0.7 * np.sin(2 * np.pi * 0.25 * t),
        "Muscle noise": rec.signal + muscle,
        "An electrode moved": stepped,
        "An electrode came off": flat,
        "Arm electrodes exchanged": swapped,
        "Clipped": np.clip(rec.signal, -0.6, 0.9),
    }
    return {name: ek.Record(x, rec.fs, rec.leads) for name, x in signals.items()}


def flagged(rec: ek.Record) -> str:
    """The flags of a recording in words and numbers."""
    quality, parts = rec.quality(), []
    for measure, where in quality.flags.items():
        values = np.atleast_1d(getattr(quality, measure))
        kind = f" {quality.reversal_kind}" if measure == "reversal" else ""
        parts.append(f"`{measure}`{kind} {np.nanmax(values):.2g} ({' '.join(where)})")
    return ", ".join(parts) or "nothing"


def pictures(rec: ek.Record) -> dict[str, tuple[str, Callable[[], object]]]:
    """Heading -> (the call, what draws it)."""
    few = rec.pick(["II", "V2", "V5"])
    return {
        "3x4 and a rhythm strip": ("rec.plot()", lambda: rec.plot()),
        "6x2 at 50 mm/s": ('rec.plot("6x2", speed=50)', lambda: rec.plot("6x2", speed=50.0)),
        "12x1": ('rec.plot("12x1")', lambda: rec.plot("12x1")),
        "Beats marked": (
            "rec.plot(beats=rec.beats().sample)",
            lambda: rec.plot(beats=rec.beats().sample),
        ),
        "Scalogram": (
            'rec.pick(["II", "V2", "V5"]).scalogram().plot()',
            lambda: few.scalogram().plot(),
        ),
        "One picture per second for a network": (
            "rec.stacked_scalogram().plot()",
            lambda: rec.stacked_scalogram().plot(),
        ),
        **explanations(rec),
        **figures_of_merit(rec),
        **matches_and_merges(rec),
    }


def explanations(rec: ek.Record) -> dict[str, tuple[str, Callable[[], object]]]:
    """What answers rest on; networks whose weights are not ours to bundle are untrained here."""
    proto = ek.load_model("protoecgnet", weights="random")
    vit = ek.load_model("merl", weights="random", network="vit_tiny")
    return {
        "Occlusion: what each lead and second adds": (
            'ek.load_model("scalogram_arrhythmia").explain(rec).plot()',
            lambda: ek.load_model("scalogram_arrhythmia").explain(rec).plot(),
        ),
        "Prototypes (an untrained ProtoECGNet)": (
            "m.explain(rec).plot()",
            lambda: proto.explain(rec).plot(),
        ),
        "Attention rollout (an untrained ViT)": (
            "m.explain(rec).plot()",
            lambda: vit.explain(rec).plot(),
        ),
    }


def figures_of_merit(rec: ek.Record) -> dict[str, tuple[str, Callable[[], object]]]:
    """Pictures of metrics: two beats coupled; curves and reliability of simulated scores."""
    peaks = rec.beats().sample
    before, after = round(0.35 * rec.fs), round(0.55 * rec.fs)
    one, two = (rec["II"][r - before : r + after] for r in peaks[1:3])
    rng = np.random.default_rng(0)
    y = (rng.random(800) < 0.25).astype(int)
    p = 1 / (1 + np.exp(-1.8 * (rng.normal(size=800) + 1.6 * y - 1.4)))
    return {
        "Frechet coupling of two beats": (
            'ek.plot.coupling_figure(one, two, names=("beat 2", "beat 3"), fs=rec.fs)',
            lambda: ek.plot.coupling_figure(one, two, names=("beat 2", "beat 3"), fs=rec.fs),
        ),
        "ROC and precision-recall with intervals (simulated scores)": (
            'ek.plot.roc_figure(y, p, label="simulated")',
            lambda: ek.plot.roc_figure(y, p, label="simulated"),
        ),
        "Reliability diagram (simulated scores)": (
            'ek.plot.reliability_figure(y, p, label="simulated")',
            lambda: ek.plot.reliability_figure(y, p, label="simulated"),
        ),
    }


def matches_and_merges(rec: ek.Record) -> dict[str, tuple[str, Callable[[], object]]]:
    """A beat found again by similarity, and what a merge of random weights lost to rounding."""
    beat, length = rec.beats().sample[1], round(0.7 * rec.fs)
    x = np.asarray(rec.signal[None], np.float32)
    start = beat - length // 2
    score, at = ek.proto.similarity(
        x[..., start + length :], x[..., start : start + length], pool="max", return_index=True
    )
    window = start + length + int(at[0, 0])
    return {
        "The stretch most similar to the second beat": (
            'ek.plot.prototype_figure(rec, window, length=length, steps=len(rec["II"]), ...)',
            lambda: ek.plot.prototype_figure(
                rec, window, length=length, steps=x.shape[2], score=float(score[0, 0]),
                label="beat 2",
            ),
        ),
        "A LoRA merge into random float16 weights": ("report.plot()", lambda: merged().plot()),
    }  # fmt: skip


def merged() -> ek.lora.MergeReport:
    """The report of a small merge."""
    rng = np.random.default_rng(0)
    weights, lora = {}, {}
    for layer in range(4):
        for kind in ("q_proj", "v_proj", "down_proj"):
            name = f"layers.{layer}.{kind}"
            weights[name + ".weight"] = rng.normal(0, 0.05, (64, 64)).astype(np.float16)
            lora[name + ".lora_A.weight"] = rng.normal(0, 0.3, (4, 64)).astype(np.float32)
            lora[name + ".lora_B.weight"] = rng.normal(0, 1e-5 * 8**layer, (64, 4)).astype("f4")
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for part in ("base", "adapter"):
            (place / part).mkdir()
        ek.weights.save(place / "base" / "model.safetensors", weights)
        ek.weights.save(place / "adapter" / "adapter_model.safetensors", lora)
        (place / "adapter" / "adapter_config.json").write_text(json.dumps(config))
        return ek.lora.merge_checkpoint(place / "base", place / "adapter", place / "out")


def write_gallery(_app=None) -> None:
    """``docs/gallery/*`` and ``docs/gallery.md``."""
    folder = Path(__file__).resolve().parent / "gallery"
    folder.mkdir(exist_ok=True)
    rec = ek.sample()
    parts = [INTRO]
    for number, (title, (call, draw)) in enumerate(pictures(rec).items()):
        name = f"{number}.svg" if "plot" in call and "scalogram" not in call else f"{number}.png"
        draw().savefig(folder / name, dpi=110)
        parts.append(f"## {title}\n\n```python\n{call}\n```\n\n![{title}](gallery/{name})\n")
    parts.append(TROUBLE)
    for title, bad in spoilt(rec).items():
        name = f"{title.lower().replace(' ', '_')}.svg"
        (folder / name).write_text(ek.plot.paper_svg(bad))
        parts.append(f"### {title}\n\n![{title}](gallery/{name})\n\nFlagged: {flagged(bad)}.\n")
    page, text = folder.with_suffix(".md"), "\n".join(parts)
    if not page.exists() or page.read_text() != text:
        page.write_text(text)
