"""Train the stacked-scalogram rhythm networks on PTB-XL.

    python -m ecgkit.train.scalogram_arrhythmia --data PTBXL --network cnn_lstm --out DIR

Four groups of rhythm statements, official folds (1-8 train, 9 choose, 10 not read here), seed
stated. The images come from the library's own kernel at every step, so a record is never seen
twice alike. Written: ``<network>.safetensors`` (what the C forward reads) and ``<network>.json``
(recipe, history, figures of fold 9). Fold 10 is measured afterwards, on the written files, by
``python -m ecgkit.train.scalogram_card``.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import get_threads, set_threads, weights
from .._typing import Array
from ..datasets import ptbxl
from ..evaluate import single_label
from ._scalogram_data import FS, LABELS, SPLITS, augment, contract, draw, images, load
from ._scalogram_nets import TWO_DIMENSIONAL, fill, head, load_imagenet, network, torch


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run, beside the data."""

    network: str = "cnn_lstm"
    seed: int = 0
    epochs: int = 10
    draws: int = 9000  #: records per epoch, drawn with replacement
    power: float = 0.5  #: share of a class ~ size ** power; 1: as in nature, 0: equal shares
    batch: int = 32
    lr: float = 2e-3
    weight_decay: float = 0.02
    dropout: float = 0.5
    smoothing: float = 0.05
    ema: float = 0.99
    shift: float = 0.5
    gain: float = 0.1
    noise: float = 0.05
    lead_drop: float = 0.05
    image: int | None = None  #: side of the picture, 2-D networks only
    windows: int = 10  #: windows of a record in one step, 2-D networks only
    bfloat16: bool = True  #: matrix products of the training passes
    start: str | None = None  #: weights to start from: "imagenet" or a .safetensors file


_PICTURES = Recipe(
    "", epochs=6, draws=5000, batch=16, lr=1e-3, dropout=0.2, image=96, windows=3, bfloat16=False
)
RECIPES = {
    "cnn1d": Recipe("cnn1d", draws=8000),
    "cnn_lstm": Recipe("cnn_lstm"),
    "efficientnet_lite0": replace(_PICTURES, network="efficientnet_lite0", start="imagenet"),
    "resnet18": replace(_PICTURES, network="resnet18", lr=5e-4),
}


# ------------------------------------------------------------------ network
def build(recipe: Recipe):
    """The network of a recipe with the weights it starts from."""
    net = network(recipe.network, len(LABELS), dropout=recipe.dropout)
    if recipe.start == "imagenet":
        load_imagenet(net)
    elif recipe.start is not None:
        state = weights.read(recipe.start)
        fill(net, {key: torch.tensor(value.astype(np.float32)) for key, value in state.items()})
    if recipe.network in TWO_DIMENSIONAL:  # twice as fast in this layout on a CPU
        # torch's overloads of Module.to leave out the one its manual shows
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


def window_logits(net, z):
    """Logits (n, windows, classes) of a 2-D network for images (n, windows, 3, side, side)."""
    flat = z.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    return net(flat).float().unflatten(0, z.shape[:2])


class Average:
    """Exponential moving average of parameters and batch-norm statistics, with a warm start."""

    def __init__(self, net, decay: float):
        self.net = copy.deepcopy(net).eval()
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self, net) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for mine, theirs in zip(self.net.state_dict().values(), net.state_dict().values()):
            if mine.dtype.is_floating_point:
                mine.lerp_(theirs, 1.0 - decay)
            else:
                mine.copy_(theirs)


def _autocast(recipe: Recipe, wanted: bool = True):
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.bfloat16 and wanted)


def probabilities(net, x: Array, recipe: Recipe, *, batch: int = 64, exact: bool = True) -> Array:
    """Per ECG (n, 4); a 2-D network's is the mean over its windows. ``exact``: in float32."""
    net.eval()
    rules, out = contract(recipe.network, recipe.image), []
    with torch.no_grad(), _autocast(recipe, not exact):
        for at in range(0, len(x), batch):
            z = torch.from_numpy(images(x[at : at + batch], rules))
            if recipe.network in TWO_DIMENSIONAL:
                out.append(window_logits(net, z).softmax(-1).mean(1).numpy())
            else:
                out.append(net(z).float().softmax(-1).numpy())
    return np.concatenate(out)


def loss_of(net, z: Array, y, rng: np.random.Generator, recipe: Recipe):
    """Training loss of one batch of images.

    A 2-D network is trained on what decides: the mean of the windows' probabilities.
    """
    cross = torch.nn.functional
    if recipe.network not in TWO_DIMENSIONAL:
        with _autocast(recipe):
            logits = net(torch.from_numpy(z))
        return cross.cross_entropy(logits.float(), y, label_smoothing=recipe.smoothing)
    pick = np.stack([rng.permutation(z.shape[1])[: recipe.windows] for _ in range(len(z))])
    with _autocast(recipe):
        logits = window_logits(net, torch.from_numpy(z[np.arange(len(z))[:, None], pick]))
    mean = torch.logsumexp(logits.log_softmax(-1), 1) - math.log(recipe.windows)
    return cross.nll_loss(mean, y)


# ----------------------------------------------------------------- training
def fit(
    recipe: Recipe,
    train: tuple[Array, Array],
    validation: tuple[Array, Array],
    say: Callable[[str], None] = print,
):
    """Train one network on filtered signals and classes.

    Returns
    -------
    net, history
        The averaged weights of the epoch that is best on ``validation`` (macro F1 + accuracy, with
        class offsets; epochs of the first half are not looked at), and one row per epoch.
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    rules = contract(recipe.network, recipe.image)
    x, y = train
    net = build(recipe)
    average = Average(net, recipe.ema)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in net.parameters() if p.ndim > 1]},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.lr, weight_decay=recipe.weight_decay)
    steps = recipe.draws // recipe.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.lr, total_steps=recipe.epochs * steps, pct_start=0.15
    )
    best, best_state, history = -1.0, None, []
    for epoch in range(1, recipe.epochs + 1):
        began, total = time.time(), 0.0
        net.train()
        for rows in draw(y, steps * recipe.batch, recipe.power, rng).reshape(steps, -1):
            more = {k: getattr(recipe, k) for k in ("shift", "gain", "noise", "lead_drop")}
            z = images(augment(x[rows], rng, **more), rules)
            loss = loss_of(net, z, torch.from_numpy(y[rows]), rng, recipe)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            average.update(net)
            total += float(loss.detach())
        row = {"epoch": epoch, "loss": total / steps, "seconds": time.time() - began}
        if 2 * epoch >= recipe.epochs:
            p = probabilities(average.net, validation[0], recipe, exact=False)
            row |= _scores(validation[1], p)
            if row["macro_f1"] + row["accuracy"] > best:
                best = row["macro_f1"] + row["accuracy"]
                best_state = copy.deepcopy(average.net.state_dict())
        history.append({k: round(v, 4) for k, v in row.items()})
        say(" ".join(f"{k}={v:g}" for k, v in history[-1].items()))
    net.load_state_dict(best_state)
    return net.eval(), history


def _scores(y: Array, p: Array) -> dict[str, float]:
    guess = (np.log(p + 1e-12) + class_offsets(y, p)).argmax(1)
    both = np.bincount(y * 4 + guess, minlength=16).reshape(4, 4)
    f1 = 2 * both.diagonal() / np.maximum(both.sum(0) + both.sum(1), 1)
    return {
        "accuracy": float((guess == y).mean()),
        "macro_f1": float(f1.mean()),
        "accuracy_plain": float((p.argmax(1) == y).mean()),
    }


def class_offsets(y: Array, p: Array, draws: int = 50, seed: int = 0) -> Array:
    """What to add to the log-probabilities so that macro F1 + accuracy is best.

    Training draws the classes with other frequencies than nature does; the offsets undo that.
    Coordinate ascent on a grid, scored as the mean over bootstrap draws of the records, which keeps
    a lucky record from deciding. The last class (SR) stays at 0.
    """
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=draws).astype(float)
    counts[0] = 1.0
    z, offsets, grid = np.log(p + 1e-12), np.zeros(4), np.arange(-2.5, 2.51, 0.1)

    def score(trial: Array) -> float:
        code = y * 4 + (z + trial).argmax(1)
        both = np.stack([counts[:, code == c].sum(1) for c in range(16)], 1).reshape(draws, 4, 4)
        hit = np.einsum("bii->bi", both)
        f1 = 2 * hit / np.maximum(both.sum(1) + both.sum(2), 1)
        return float((f1.mean(1) + hit.sum(1) / both.sum((1, 2))).mean())

    for _ in range(3):
        for k in range(3):
            trials = np.tile(offsets, (len(grid), 1))
            trials[:, k] = grid
            scores = np.array([score(trial) for trial in trials])
            good = grid[scores >= scores.max() - 5e-4]  # the middle of the plateau
            offsets[k] = good[np.abs(good - np.median(good)).argmin()]
    return offsets


# ------------------------------------------------------------------- export
def export(net, recipe: Recipe, folder: Path) -> Path:
    """Write ``<network>.safetensors``: float32 for the 1-D networks, float16 for the others.

    Vectors (biases, batch-norm) stay float32: they are few, and a variance may not fit float16.
    """
    half = recipe.network in TWO_DIMENSIONAL
    out = {}
    for key, value in net.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            array = np.ascontiguousarray(value.detach().float().numpy())
            out[key] = array.astype(np.float16) if half and array.ndim > 1 else array
    path = folder / f"{recipe.network}.safetensors"
    weights.save(path, out)
    return path


def run(
    root: str | Path, recipe: Recipe, out: str | Path, say: Callable[[str], None] = print
) -> dict:
    """Read, train, choose the class offsets on fold 9, export. Fold 10 is not read.

    Returns
    -------
    dict
        What is written to ``<network>.json`` beside the weights.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.time()
    rules = contract(recipe.network, recipe.image)
    parts = {}
    for name in ("train", "validation"):
        data = ptbxl(root, fs=FS, folds=SPLITS[name], task="rhythm4")
        say(f"{name}: {data.summary()}")
        parts[name] = load(data, rules), data.y
    say(f"signals read and filtered in {time.time() - began:.0f} s; {recipe}")
    net, history = fit(recipe, parts["train"], parts["validation"], say)
    x, y = parts["validation"]
    offsets = class_offsets(y, probabilities(net, x, recipe))
    with torch.no_grad():
        head(net).bias.add_(torch.as_tensor(offsets, dtype=torch.float32))
    path = export(net, recipe, folder)
    report = single_label(y, probabilities(net, x, recipe), LABELS, groups=data.patient)
    say(repr(report))
    log = {
        "recipe": asdict(recipe),
        "weights": path.name,
        "class_offsets": dict(zip(LABELS, np.round(offsets, 3).tolist())),
        "validation": report.to_dict(),
        "history": history,
        "minutes": round((time.time() - began) / 60, 1),
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "threads": [torch.get_num_threads(), get_threads()],
    }
    (folder / f"{recipe.network}.json").write_text(json.dumps(log, indent=1) + "\n")
    return log


def main(argv: list[str] | None = None) -> None:
    """Command line; every field of :class:`Recipe` is an option."""
    about = "Train one network of the stacked-scalogram system on PTB-XL."
    module = "python -m ecgkit.train.scalogram_arrhythmia"
    parser = argparse.ArgumentParser(prog=module, description=about)
    parser.add_argument("--data", required=True, help="folder that holds ptbxl_database.csv")
    parser.add_argument("--network", choices=RECIPES, default="cnn_lstm")
    parser.add_argument("--out", required=True, help="folder for the weights and the log")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--start", help='"imagenet" or a .safetensors file')
    names = [name for name in asdict(Recipe()) if name not in ("network", "start")]
    for name in names:
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=json.loads, help="default: the network's recipe")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    set_threads(args.threads)
    given = {n: v for n in (*names, "start") if (v := getattr(args, n)) is not None}
    recipe = replace(RECIPES[args.network], **given)
    run(args.data, recipe, args.out, lambda text: print(text, flush=True))


if __name__ == "__main__":
    main()
