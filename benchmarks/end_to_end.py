"""The whole path, file to probabilities, beside the same path built from the usual packages.

The peer reads with wfdb, removes the baseline with SciPy's medfilt, transforms with PyWavelets
(method "fft", the complex Morlet of the same centre frequency, all windows and leads in one call),
resizes and runs the network with PyTorch. Both have the same weights.
"""

import itertools
import os
import tempfile
from pathlib import Path

import numpy as np
from _harness import bench, main, peer

import ecgkit as ek

FS, LEADS, WINDOWS, ROWS, COLUMNS, W0 = 100, 12, 10, 64, 64, 6.0
FREQS = np.geomspace(1, 40, ROWS)
NETWORKS = ("cnn_lstm", "cnn1d", "efficientnet_lite0", "resnet18")
PEER = "wfdb + SciPy + PyWavelets + PyTorch"


def recordings(count: int, folder: Path) -> tuple[list[str], str]:
    """WFDB records of 12 leads, 10 s, 100 Hz: PTB-XL where it is unpacked, else simulated ones."""
    cache = Path(os.environ.get("ECGKIT_CACHE", Path.home() / ".cache" / "ecgkit"))
    real = sorted((cache / "ptbxl" / "records100").glob("*/*.hea"))
    if len(real) >= count:
        return [str(p.with_suffix("")) for p in real[-count:]], "PTB-XL at 100 Hz"
    paths = []
    for i in range(count):
        record = ek.synth.ecg(10, FS, 50 + i % 70, noise=0.02, seed=i)
        paths.append(str(ek.io.write(record, folder / f"r{i:04d}", "wfdb").with_suffix("")))
    return paths, "simulated records: PTB-XL is not unpacked here"


def network(name: str, tensors):
    """The network in PyTorch's own layers, with these weights, in evaluation mode."""
    import torch
    from _networks import networks

    module = networks()[name][0]
    state = {key: torch.from_numpy(np.array(value)) for key, value in tensors.items()}
    missing, unexpected = module.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    return module.eval()


def usual_path(paths: list[str], name: str, image: int | None, tensors):
    """From these files to probabilities (n, 4) with the usual packages."""

    def build(pywt):
        import torch
        import wfdb
        from scipy.signal import medfilt

        module = network(name, tensors)
        mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
        deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
        wavelet = f"cmor2.0-{W0 / (2 * np.pi):.15f}"
        scales = W0 * FS / (2 * np.pi * FREQS)
        gain = (2 / np.sqrt(scales))[:, None, None, None]

        def features(path):
            x = wfdb.rdrecord(path).p_signal.T
            x = x - np.stack([medfilt(medfilt(lead, 21), 61) for lead in x])
            deviations = x.std(axis=1, keepdims=True)
            x = (x - x.mean(axis=1, keepdims=True)) / np.where(deviations > 0, deviations, 1)
            x = x[:, : WINDOWS * FS].reshape(LEADS, WINDOWS, FS)
            left, right = 78, 78  # reflected to 256 samples, as the contract says
            x = np.pad(x, ((0, 0), (0, 0), (left, right)), mode="reflect")
            y = pywt.cwt(x, scales, wavelet, method="fft", axis=-1)[0]
            m = np.abs(y[..., left : left + FS]) * gain  # (frequency, lead, window, time)
            m = torch.from_numpy(np.ascontiguousarray(m[::-1].transpose(2, 1, 0, 3))).float()
            m = torch.nn.functional.interpolate(
                m.reshape(-1, ROWS, FS), COLUMNS, mode="linear", align_corners=False
            ).reshape(WINDOWS, LEADS * ROWS, COLUMNS)
            if image is not None:
                m = torch.nn.functional.interpolate(m[:, None], (image, image), mode="area")[:, 0]
            low, high = m.amin((1, 2), keepdim=True), m.amax((1, 2), keepdim=True)
            m = (m - low) / (high - low)
            return m if image is None else (m[:, None] - mean) / deviation

        def run():
            with torch.inference_mode():
                x = torch.stack([features(path) for path in paths])
                if image is None:
                    return module(x).softmax(-1).numpy()
                y = module(x.flatten(0, 1)).softmax(-1)
                return y.reshape(len(paths), WINDOWS, -1).mean(1).numpy()

        return run

    return build


def probabilities_agree(got, want) -> float:
    """PyWavelets samples its wavelet coarsely, so probabilities agree, bits do not."""
    worst = float(np.abs(got - want).max())
    assert worst < 0.05, f"probabilities differ by {worst:.3f}"
    return worst


def run():
    from ecgkit.models._model import random_tensors

    folder = tempfile.TemporaryDirectory()
    paths, source = recordings(64, Path(folder.name))
    system = ek.load_model("scalogram_arrhythmia", weights="random", network="cnn1d")
    for name in NETWORKS:
        variant = type(system).complete({"network": name})
        tensors = random_tensors(type(system).expected(**variant), 0)
        model = ek.load_model("scalogram_arrhythmia", weights=tensors, **variant)
        usual = peer("pywt", usual_path(paths[:1], name, variant.get("image"), tensors))
        bench(
            f"file to probabilities, one ECG, {name}",
            {"ours": lambda model=model: model(ek.read(paths[0])).probabilities, PEER: usual},
            check=probabilities_agree,
            min_time=2,
            work=(1, "records"),
            bar={PEER: 8},
            note=f"{source}; random weights; agreement is the largest difference of a probability",
        )
    scoring(paths, source)


def scoring(paths, source):
    """``ek.score``: reading, network and table of many files, as a job runs it."""
    model = ek.load_model("scalogram_arrhythmia", weights="random", network="cnn_lstm")
    with tempfile.TemporaryDirectory() as folder:
        number = itertools.count()
        many = [p + ".hea" for p in paths]

        def score():
            return ek.score(model, many, Path(folder) / f"{next(number)}.parquet")

        bench(
            f"ek.score, {len(many)} files, cnn_lstm",
            {"ours": score},
            check="no peer",
            work=(len(many), "records"),
            note=f"{source}; files in the page cache; table and manifest written and synced",
        )


if __name__ == "__main__":
    main(run)
