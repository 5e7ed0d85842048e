"""ECHOPulse's video networks beside PyTorch: tokens of a clip and back, one step of sampling.

The published size, random weights, 11 frames of 128 x 128 (1536 tokens); PyTorch runs the witness
of the tests (``tests/witness_echopulse.py``), as written. The ECG tower is in ``models.py``.
"""

import importlib
import sys
from pathlib import Path

import numpy as np
from _harness import Absent, bench, main, peer

import ecgkit as ek

TESTS = Path(__file__).resolve().parent.parent / "tests"
BARS = {1: 1.0, 2: 1.05}


def same_tokens(ours, theirs) -> float:
    """The share of tokens that differ; at most one in a thousand may."""
    wrong = float(np.mean(np.asarray(ours) != np.asarray(theirs)))
    assert wrong <= 1e-3, f"{wrong:.2%} of the tokens differ"
    return wrong


def run() -> None:
    sys.path.append(str(TESTS))
    witness = importlib.import_module("witness_echopulse")
    weights = witness.weights(network="full")
    m = ek.load_model("echopulse", weights=weights)
    rng = np.random.default_rng(0)
    frames = rng.uniform(size=(3, 11, 128, 128)).astype(np.float32)
    ids = m.encode(frames)
    masked = np.where(rng.uniform(size=ids.shape) < 0.5, 8192, ids)
    beat = ek.synth.ecg().window(0.0, 1.0)
    vector = m.embed(beat)

    def theirs(method: str, *arguments):
        def build(torch):
            video = witness.Video(weights, "published")

            def call():
                with torch.inference_mode():
                    return getattr(video, method)(*arguments)

            return call

        return peer("torch", build)

    def prior(case):
        """Its bias of positions is made at the first call and kept, as ours is."""
        if not isinstance(case, Absent):
            case()
        return case

    for threads, bar in BARS.items():
        options = {"threads": (threads,), "bar": bar, "min_time": 0.1}
        bench(
            "video to tokens",
            {"ours": lambda: m.encode(frames), "PyTorch": theirs("encode", frames)},
            check=same_tokens,
            **options,
        )
        bench(
            "tokens to video",
            {"ours": lambda: m.decode(ids), "PyTorch": theirs("decode", ids)},
            check=1e-4,
            **options,
        )
        step = prior(theirs("logits", masked, vector))
        bench(
            "one step of the token transformer",
            {"ours": lambda: m.logits(masked, vector), "PyTorch": step},
            check=1e-4,
            **options,
        )
        bench(
            "a clip from an ECG and a first frame, 18 steps",
            {"ours": lambda: m.generate(beat, prime=frames[:, :1])},
            check="no peer: sampling is the steps above",
            threads=(threads,),
            min_time=0.1,
            work=(1, "clips"),
        )


if __name__ == "__main__":
    main(run, limit=15.0)
