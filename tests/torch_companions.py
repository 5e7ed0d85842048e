"""Packages that stand on PyTorch, imported whatever build of PyTorch they were compiled for."""

import pytest


def torchvision():
    """torchvision; its compiled ops, which nothing here calls, need not fit this PyTorch.

    transformers, and so PEFT, import it where it is installed: call this before them.
    """
    torch = pytest.importorskip("torch")
    if not hasattr(torch.ops.torchvision, "nms"):
        library = torch.library.Library("torchvision", "FRAGMENT")
        for op in ("nms", "qnms"):
            library.define(f"{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch._ecgkit_test_library = library  # it must outlive the import
    return pytest.importorskip("torchvision")
