"""Measure the exported scalogram networks on fold 10 and write their card.

    python -m ecgkit.train.scalogram_card --data PTBXL --weights DIR --out FOLDER

``DIR`` holds what :mod:`ecgkit.train.scalogram_arrhythmia` wrote. Every file is run as users run
it: through the model's contract and the C forward. The best network is chosen on fold 9, from the
logs, before fold 10 is read. ``--split validation`` makes a provisional card without fold 10.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .._typing import Array
from ..datasets import RHYTHM4, Dataset, ptbxl
from ..evaluate import SingleLabelReport, single_label
from ..models import Card, Model, load_model
from ..models._card import NetworkCard
from ..models._card import _metrics as metrics_of
from ._scalogram_data import FS, LABELS, SPLITS

SYSTEM = "scalogram_arrhythmia"
ORDER = ("cnn1d", "cnn_lstm", "efficientnet_lite0", "resnet18")
CITATION = (
    "Wagner P, Strodthoff N, Bousseljot R-D, et al. PTB-XL, a large publicly available "
    "electrocardiography dataset. Scientific Data 7:154 (2020). doi 10.1038/s41597-020-0495-6"
)
PAPER = {"efficientnet_lite0": 0.98, "resnet18": 0.98, "cnn_lstm": 0.95}
FOLD = {
    "validation": "fold 9 (provisional: fold 10 not read)",
    "test": "fold 10, after every choice was made",
}


def predict(model: Model, data: Dataset, batch: int = 64) -> tuple[Array, Array | None]:
    """Probabilities per ECG (n, 4), and per window (n, 10, 4) where the network has them."""
    ecg: list[Array] = []
    windows: list[Array] = []
    for x in data.signal_batches(batch):
        answer = model(x, fs=data.fs)
        ecg.append(answer.probabilities)
        if answer.windows is not None:
            windows.append(answer.windows)
    return np.concatenate(ecg), np.concatenate(windows) if windows else None


def reports(
    data: Dataset, ecg: Array, windows: Array | None, paper: float | None = None
) -> dict[str, SingleLabelReport]:
    """Per ECG and, where there are any, per window; patients are resampled in both."""
    given = {"accuracy": paper} if paper is not None else None
    out = {"ecg": single_label(data.y, ecg, LABELS, groups=data.patient, paper=given)}
    if windows is not None:
        n = windows.shape[1]
        out["window"] = single_label(
            np.repeat(data.y, n), windows.reshape(-1, len(LABELS)), LABELS,
            groups=np.repeat(data.patient, n), unit="window", paper=given,
        )  # fmt: skip
    return out


def facts(splits: dict[str, Dataset]) -> dict:
    """The data block of the card: source, mapping, split, counts, hashes."""
    hashes = {name: data.sha256() for name, data in splits.items()}
    whole = hashlib.sha256("".join(hashes.values()).encode()).hexdigest()
    first = splits["train"]
    dropped = {r: sum(d.dropped[r] for d in splits.values()) for r in first.dropped}
    return {
        "name": first.name,
        "version": first.version,
        "url": "https://physionet.org/content/ptb-xl/1.0.3/",
        "licence": "CC BY 4.0",
        "citation": CITATION,
        "sha256": whole,
        "sha256_splits": hashes,
        "sha256_of": "per split: id, label and signal file of every record, ids ascending; "
        "together: the three digests, train validation test",
        "mapping": {label: list(codes) for label, codes in RHYTHM4.items()},
        "split": "official folds: 1-8 training, 9 validation, 10 test; patients never across",
        "counts": {name: data.counts for name, data in splits.items()},
        "dropped": dropped,
        "dropped_splits": {name: dict(data.dropped) for name, data in splits.items()},
    }


def make(
    root: str | Path,
    weights: str | Path,
    out: str | Path,
    *,
    split: str = "test",
    tried: Sequence[str] = (),
) -> Card:
    """Measure every network found in ``weights``, copy its file to ``out``, write ``card.json``."""
    source, folder = Path(weights), Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    logs = {
        name: json.loads((source / f"{name}.json").read_text())
        for name in ORDER
        if (source / f"{name}.safetensors").is_file()
    }
    best = max(logs, key=lambda name: _validation_score(logs[name]))
    splits = {name: ptbxl(root, fs=FS, folds=SPLITS[name], task="rhythm4") for name in SPLITS}
    networks = {}
    for name, log in logs.items():
        path = source / f"{name}.safetensors"
        image = log["recipe"]["image"]
        variant = {"network": name} | ({} if image is None else {"image": image})
        model = load_model(SYSTEM, path, **variant)
        measured = reports(splits[split], *predict(model, splits[split]), PAPER.get(name))
        print(f"{name}, {FOLD[split]}", *map(repr, measured.values()), sep="\n", flush=True)
        shutil.copyfile(path, folder / path.name)
        networks[name] = NetworkCard(
            weights=path.name,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            dtype="float32" if image is None else "float16",
            parameters=model.parameters,
            contract=model.contract.to_dict(),
            seed=log["recipe"]["seed"],
            script=command(log["recipe"]),
            metrics={unit: metrics_of(report.to_dict()) for unit, report in measured.items()},
            training={key: log[key] for key in log if key != "weights"},
            metrics_note=f"{FOLD[split]}, the file as bundled, C forward; {measured['ecg'].note}",
        )
    card = Card(
        system=SYSTEM,
        labels=list(LABELS),
        paper=model.paper,
        paper_reported=model.paper_reported,
        data=facts(splits) | {"tried": list(tried)},
        licence="CC BY 4.0, as the PTB-XL recordings they were trained on: cite PTB-XL. "
        "efficientnet_lite0 started from ImageNet weights (EfficientNet-Lite, Apache-2.0)",
        best=best,
        networks=networks,
    )
    (folder / "card.json").write_text(card.to_json(), encoding="utf-8")
    return card


def command(recipe: dict) -> str:
    """The command that repeats a run."""
    from .scalogram_arrhythmia import RECIPES

    usual = RECIPES[recipe["network"]]
    changed = {k: v for k, v in recipe.items() if k != "network" and v != getattr(usual, k)}
    options = "".join(f" --{k.replace('_', '-')} {_shown(v)}" for k, v in changed.items())
    return (
        "python -m ecgkit.train.scalogram_arrhythmia --data PTBXL --out DIR "
        f"--network {recipe['network']}{options}"
    )


def _shown(value: object) -> str:
    return Path(value).name if isinstance(value, str) else json.dumps(value)


def _validation_score(log: dict) -> float:
    return log["validation"]["macro_f1"]["value"] + log["validation"]["accuracy"]["value"]


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    about = "Measure the exported networks on fold 10 and write their card."
    parser = argparse.ArgumentParser(
        prog="python -m ecgkit.train.scalogram_card", description=about
    )
    parser.add_argument("--data", required=True, help="folder that holds ptbxl_database.csv")
    parser.add_argument("--weights", required=True, help="folder with what training wrote")
    parser.add_argument("--out", required=True, help="folder for the card and the weights")
    parser.add_argument("--split", choices=FOLD, default="test")
    parser.add_argument("--tried", action="append", default=[], help="a remark for the card")
    args = parser.parse_args(argv)
    make(args.data, args.weights, args.out, split=args.split, tried=args.tried)


if __name__ == "__main__":
    main()
