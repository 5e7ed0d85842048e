"""from_torch on networks nobody here wrote, with random weights."""

import pytest
from convert_witness import assert_as_exact_as_torch, ready
from torch_companions import torchvision

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.slow]

BARE = {"init_weights": False, "aux_logits": False}


@pytest.mark.parametrize(
    ("name", "side", "options"),
    [
        ("resnet18", 64, {}),
        ("resnet50", 64, {}),
        ("resnext50_32x4d", 64, {}),
        ("vgg11_bn", 32, {}),
        ("mobilenet_v2", 64, {}),
        ("densenet121", 64, {}),
        ("squeezenet1_0", 64, {}),
        ("shufflenet_v2_x0_5", 64, {}),
        ("googlenet", 96, BARE),
        ("inception_v3", 96, BARE),
        ("mobilenet_v3_small", 64, {}),
        ("mnasnet0_5", 64, {}),
        ("efficientnet_b0", 64, {}),
        ("regnet_y_400mf", 64, {}),
        ("convnext_tiny", 64, {}),
        ("swin_t", 64, {}),
        ("vit_b_16", 32, {"image_size": 32}),
    ],
)
def test_torchvision(name, side, options):
    torch.manual_seed(0)
    net = getattr(torchvision().models, name)(**options)
    assert_as_exact_as_torch(ready(net), (3, side, side), n=2)


@pytest.mark.parametrize(
    ("name", "side", "options"),
    [
        ("vit_tiny_patch16_224", 64, {"img_size": 64}),
        ("mixer_s32_224", 64, {"img_size": 64}),
        ("efficientnet_lite0", 64, {}),
        ("convnext_atto", 64, {}),
        ("regnetx_002", 64, {}),
        ("ghostnet_050", 64, {}),
    ],
)
def test_timm(name, side, options):
    torchvision()
    torch.manual_seed(0)
    net = pytest.importorskip("timm").create_model(name, pretrained=False, **options)
    assert_as_exact_as_torch(ready(net), (3, side, side), n=2)
