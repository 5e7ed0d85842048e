"""What the witnesses of the models share: random weights of a layout, and a module from a function.

A witness is ``tests/witness_<model>.py``; ``test_model_parity.py`` says what it must offer.
"""

import numpy as np


def random_weights(shapes, seed=0):
    """Seeded weights far from any initialisation: batch norms that move and scale, biases that
    are not zero, matrices that keep the scale of what goes through."""
    rng = np.random.default_rng(seed)
    found = {}
    for key, shape in shapes.items():
        if key.endswith("running_var"):
            value = rng.uniform(0.5, 2, shape)
        elif key.endswith("num_batches_tracked"):
            found[key] = np.array(7, np.int64)
            continue
        elif len(shape) == 1 and key.endswith("weight"):
            value = rng.uniform(0.5, 1.5, shape)
        elif len(shape) > 1:
            value = rng.normal(0, max(int(np.prod(shape[1:])), 1) ** -0.5, shape)
        else:
            value = rng.normal(0, 0.1, shape)
        found[key] = value.astype(np.float32)
    return found


def functional(forward, weights, double=False):
    """``forward(w, x, tap)`` as a module in eval mode.

    ``w`` maps each key to a tensor; ``tap(name, value)`` notes a value and returns it.
    ``module(x)`` is what ``forward`` returns, ``module.taps(x)`` the noted values by name.
    """
    import torch

    kind = torch.float64 if double else torch.float32

    class Functional(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = {}
            for key, value in weights.items():
                t = torch.from_numpy(np.array(value))
                self.w[key] = t.to(kind) if t.is_floating_point() else t

        def forward(self, x):
            return forward(self.w, x, lambda name, value: value)

        def taps(self, x):
            found = {}

            def tap(name, value):
                found[name] = value
                return value

            forward(self.w, x, tap)
            return found

    return Functional().eval()


def batch_norm(w, at, x, eps=1e-5):
    """PyTorch's batch norm in eval mode, by key."""
    import torch

    keys = ("running_mean", "running_var", "weight", "bias")
    return torch.nn.functional.batch_norm(x, *(w[f"{at}.{k}"] for k in keys), eps=eps)
