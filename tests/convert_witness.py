"""Networks as programs against PyTorch: ours may be off by at most twice PyTorch's own error."""

import copy

import numpy as np

import ecgkit as ek


def ready(module, seed=0):
    """Evaluation mode, batch norms with statistics of their own."""
    import torch

    torch.manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            if not p.any():  # heads that start at zero would prove nothing
                p.normal_(0, 0.1)
        for m in module.modules():
            if isinstance(m, torch.nn.modules.batchnorm._BatchNorm):
                m.running_mean.normal_(0, 0.1)
                m.running_var.uniform_(0.5, 1.5)
                if m.affine:
                    m.weight.uniform_(0.5, 1.5)
                    m.bias.normal_(0, 0.1)
    return module.eval()


def leaves(tree):
    """Arrays of a nested result, in order."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, (tuple, list)):
        return [leaf for t in tree for leaf in leaves(t)]
    return [np.asarray(tree)]


def error(got, exact):
    """Largest deviation of a nested result, relative to the largest value of each array."""
    pairs = list(zip(leaves(got), leaves(exact), strict=True))
    assert all(a.shape == b.shape for a, b in pairs), [(a.shape, b.shape) for a, b in pairs]
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)) for a, b in pairs)


def assert_as_exact_as_torch(module, *shapes, n=3):
    """Convert, run beside PyTorch on noise, and return the program."""
    import torch

    program = ek.nn.from_torch(module, *shapes)
    noise = torch.Generator().manual_seed(1)
    xs = [torch.randn((n, *s), generator=noise) for s in shapes]
    with torch.no_grad():
        single = module(*xs)
        exact = copy.deepcopy(module).double()(*[x.double() for x in xs])
    given = tuple(x.numpy() for x in xs)
    got = program(given if len(given) > 1 else given[0])
    ours, theirs = error(got, exact), error(single, exact)
    assert ours <= 2 * theirs + 1e-7, f"ours {ours:.2e}, PyTorch {theirs:.2e}"
    return program
