"""A model of pictures sees exactly what the published processors make of them, or says why not."""

import json

import numpy as np
import pytest
from PIL import Image
from torch_companions import torchvision

import ecgkit as ek
from ecgkit.errors import ContractError, FormatError, LayoutError
from ecgkit.models import ImageContract, Step

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def picture(high=310, wide=427, seed=0) -> np.ndarray:
    """Lines on noise: sharp enough for two filters to differ."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (high, wide, 3), dtype=np.uint8)
    x[::10] = 255
    x[:, 7::13] = 0
    return x


@pytest.fixture(scope="module")
def contract():
    return ImageContract()


def test_it_survives_json_and_tells_what_it_does():
    c = ImageContract((96, 64), "bicubic", **IMAGENET, page={"layout": "12x1", "style": "red"})
    assert ImageContract.from_json(c.to_json()) == c
    assert json.loads(c.to_json())["resample"] == "bicubic"
    assert hash(c) == hash(ImageContract.from_dict(c.to_dict()))
    assert "96 x 64, bicubic as Pillow does it" in repr(c)
    assert "red" in c._repr_html_()
    assert "96 x 64" in c.summary


@pytest.mark.parametrize(
    "given",
    [
        {"size": (0, 4)},
        {"resample": "area"},
        {"mode": "CMYK"},
        {"mean": (0.5,)},
        {"std": (0.5, 0.0, 0.5)},
    ],
)
def test_what_makes_no_sense_is_refused(given):
    with pytest.raises(ContractError):
        ImageContract(**given)


@pytest.mark.parametrize("text", ["[1]", "{", '{"sizes": [3, 4]}'])
def test_what_is_no_contract_is_refused(text):
    with pytest.raises(ContractError):
        ImageContract.from_json(text)


@pytest.mark.torch
@pytest.mark.parametrize("resample", [0, 2, 3])
@pytest.mark.parametrize("shape", [(310, 427), (1572, 2213), (100, 90)])
def test_it_agrees_with_transformers_to_the_last_bit(resample, shape):
    torchvision()
    module = pytest.importorskip("transformers.models.vit.image_processing_pil_vit")
    names = {number: name for name, number in ek.models._image_contract.RESAMPLE.items()}
    theirs = module.ViTImageProcessorPil(
        resample=resample, image_mean=IMAGENET["mean"], image_std=IMAGENET["std"]
    )
    x = picture(*shape)
    want = theirs(Image.fromarray(x), return_tensors="np")["pixel_values"]
    got, notes = ImageContract(resample=names[resample], **IMAGENET).prepare(x)
    assert got.dtype == np.float32
    assert notes == ((),)
    np.testing.assert_array_equal(got, want)


@pytest.mark.torch
def test_shorter_side_and_middle_agree_with_clip():
    torchvision()
    module = pytest.importorskip("transformers.models.clip.image_processing_pil_clip")
    x = picture(401, 293)
    theirs = module.CLIPImageProcessorPil()
    want = theirs(Image.fromarray(x), return_tensors="np")["pixel_values"]
    mean, std = tuple(theirs.image_mean), tuple(theirs.image_std)
    got, _ = ImageContract((224, 224), "bicubic", mean, std, crop=True).prepare(x)
    np.testing.assert_array_equal(got, want)


def test_all_ways_to_give_a_picture_are_one(contract, tmp_path):
    x = picture()
    Image.fromarray(x).save(tmp_path / "x.png")
    want = contract.prepare(x)[0]
    assert want.shape == (1, 3, 224, 224)
    for same in (x[::1], Image.fromarray(x), tmp_path / "x.png", str(tmp_path / "x.png"), x[None]):
        np.testing.assert_array_equal(contract.prepare(same)[0], want)
    batch = contract.prepare([x, Image.fromarray(x), tmp_path / "x.png"])[0]
    np.testing.assert_array_equal(batch, np.repeat(want, 3, axis=0))
    np.testing.assert_array_equal(contract.prepare(np.stack([x, x]))[0], np.repeat(want, 2, axis=0))
    np.testing.assert_array_equal(contract.prepare(np.asfortranarray(x)[:, ::-1][:, ::-1])[0], want)


def test_a_jpeg_is_what_pillow_decodes(contract, tmp_path):
    Image.fromarray(picture()).save(tmp_path / "x.jpg", quality=90)
    want = contract.prepare(np.asarray(Image.open(tmp_path / "x.jpg")))[0]
    np.testing.assert_array_equal(contract.prepare(tmp_path / "x.jpg")[0], want)
    Image.fromarray(picture()).convert("CMYK").save(tmp_path / "c.jpg")
    assert contract.prepare(tmp_path / "c.jpg")[0].shape == want.shape


def test_a_record_is_drawn_as_a_page_and_the_result_says_so():
    rec = ek.synth.ecg()
    c = ImageContract(page={"layout": "12x1", "style": "red", "dpi": 80})
    got, notes = c.prepare(rec)
    want, _ = c.prepare(ek.plot.page_image(rec, "12x1", style="red", dpi=80))
    np.testing.assert_array_equal(got, want)
    assert notes == (("drawn as a page (layout 12x1, style red, dpi 80)",),)
    two, notes = c.prepare([rec, picture()])
    np.testing.assert_array_equal(two[:1], want)
    assert notes[1] == ()


def test_a_grey_model_sees_grey_in_every_channel():
    x = picture()
    c = ImageContract((32, 48), mode="L", mean=(0.499,) * 3, std=(0.293,) * 3)
    got, _ = c.prepare(x)
    grey = np.asarray(Image.fromarray(x).convert("L").resize((48, 32), 2), np.float64)
    np.testing.assert_allclose(got[0], np.repeat((grey / 255 - 0.499)[None] / 0.293, 3, 0), 1e-5,
                               1e-6)  # fmt: skip
    one, _ = ImageContract((32, 48), mode="L", mean=(0.499,), std=(0.293,)).prepare(x)
    np.testing.assert_array_equal(one[:, 0], got[:, 1])


def test_orientation_and_transparency_are_minded(contract, tmp_path):
    x = picture()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(x).save(tmp_path / "turned.png", exif=exif)
    got, notes = contract.prepare(tmp_path / "turned.png")
    np.testing.assert_array_equal(got, contract.prepare(np.rot90(x, -1))[0])
    assert "orientation" in notes[0][0]
    clear = np.dstack([x, np.zeros(x.shape[:2], np.uint8)])
    got, notes = contract.prepare(Image.fromarray(clear, "RGBA"))
    assert (got == 1.0).all()
    assert "white" in notes[0][0]


def bad_arrays():
    x = picture(8, 9)
    yield x.astype(np.float32), "uint8"
    yield x[..., 0], "np.repeat"
    yield np.moveaxis(x, -1, 0), "channels stand last"
    yield np.zeros((2, 8, 9, 4), np.uint8), "shape"
    yield np.zeros((0, 9, 3), np.uint8), "empty"
    yield [x, x[None]], "picture 1"
    yield ek.synth.ecg().signal, "ek.Record"


@pytest.mark.parametrize(("x", "says"), list(bad_arrays()))
def test_what_is_no_picture_is_refused(contract, x, says):
    with pytest.raises(LayoutError, match=says):
        contract.prepare(x)


def test_bad_files_are_refused_before_they_cost_anything(contract, tmp_path, monkeypatch):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(FormatError, match="not a PNG or JPEG"):
        contract.prepare(tmp_path / "text.png")
    Image.fromarray(picture()).save(tmp_path / "x.png")
    whole = (tmp_path / "x.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match="damaged"):
        contract.prepare(tmp_path / "cut.png")
    monkeypatch.setattr(ek.models._image_contract, "MAX_PIXELS", 1000)
    with pytest.raises(FormatError, match="427 x 310 pixels"):
        contract.prepare([picture(), tmp_path / "x.png"])
    with pytest.raises(FileNotFoundError):
        contract.prepare(tmp_path / "absent.png")
    with pytest.raises(ContractError, match="leave fs out"):
        contract.prepare(picture(), 500)
    with pytest.raises(LayoutError, match="8 bits"):
        contract.prepare(Image.fromarray(np.zeros((9, 9), np.uint16)))


def test_a_step_between_resizing_and_scaling_is_applied(contract, monkeypatch):
    monkeypatch.setitem(ek.models._steps._STEPS, "invert", lambda x, fs: 255 - x)
    c = ImageContract(enhance=Step("invert"))
    got, want = c.prepare(picture())[0], contract.prepare(picture())[0]
    np.testing.assert_allclose(got, -want, atol=1e-6)
    assert ImageContract.from_dict(c.to_dict()) == c
    assert "invert" in repr(c)


def test_an_empty_list_is_an_empty_batch(contract):
    got, notes = contract.prepare([])
    assert got.shape == (0, 3, 224, 224)
    assert notes == ()
