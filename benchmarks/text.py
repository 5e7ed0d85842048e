"""Text towers: BERT-base as MERL runs it, beside transformers.

Random weights of the published size (twelve layers of 768, 30522 words); one text, padded to its
length class by ours, without padding by the peer, so that both see as many tokens.
"""

import sys
from pathlib import Path

import numpy as np
from _harness import Absent, bench, main, peer

from ecgkit.models._bert import TextConfig, TextTower, Tokens, shapes

TESTS = Path(__file__).resolve().parent.parent / "tests"
BARS = {1: 1.0, 2: 1.05}
LENGTHS = (32, 64, 128, 256)


def theirs(weights):
    """transformers' module with the same weights, or why it is absent."""

    def build(torch):
        sys.path.append(str(TESTS))
        import torch_companions

        torch_companions.torchvision()
        import transformers

        net = transformers.BertModel(transformers.BertConfig()).eval()
        net.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
        return net

    return peer("torch", build)


def run() -> None:
    config, rng = TextConfig(), np.random.default_rng(0)
    weights = {
        k: (rng.normal(float(k.endswith("LayerNorm.weight")), 0.05, s)).astype(np.float32)
        for k, s in shapes(config).items()
    }
    tower, net = TextTower("bert", config, weights), theirs(weights)
    for length in LENGTHS:
        ids = rng.integers(3, config.vocabulary, (1, length))
        text = [Tokens(tuple(ids[0].tolist()), (0,) * length)]
        tower(text)  # compiled for this length

        def ours(text=text):
            return tower(text)

        def call(ids=ids):
            import torch

            with torch.inference_mode():
                return net(torch.from_numpy(ids)).pooler_output.numpy()

        for threads, bar in BARS.items():
            bench(
                f"BERT-base, {length} tokens",
                {"ours": ours, "transformers": net if isinstance(net, Absent) else call},
                check=1e-5,
                threads=(threads,),
                bar=bar,
                min_time=0.1,
                work=(1, "texts"),
            )


if __name__ == "__main__":
    main(run, limit=5.0)
