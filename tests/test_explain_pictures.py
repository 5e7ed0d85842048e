"""Explanations of models that take pictures."""

import numpy as np
import pytest

import ecgkit as ek
from ecgkit.explain import Tokens
from ecgkit.models import Model
from ecgkit.models._image_contract import ImageContract

pytest.importorskip("PIL")


class Seer(Model):
    """Four by four patches of 8 pixels behind a class token, one self-attention layer, two
    classes."""

    name = "seer"
    labels = ("dark", "light")

    def __init__(self, read="first"):
        rng = np.random.default_rng(0)
        self.contract, self.variant, self.read = ImageContract((32, 32)), {}, read
        p = ek.nn.Program("seer")
        x = p.conv2d(p.input("x", (3, 32, 32)), rng.normal(size=(8, 3, 8, 8)) / 8, stride=8)
        h = p.transpose(p.reshape(x, (8, 16)), (1, 0))
        h = p.concat([p.constant(rng.normal(size=(1, 8))), h], 0)
        q, k, v = (p.linear(h, rng.normal(size=(8, 8)) / 2) for _ in range(3))
        h = p.add(h, p.attention(q, k, v, heads=2, name="look"))
        h = p.select(h, 0) if read == "first" else p.mean(p.slice(h, 0, 1), 0)
        p.output(p.softmax(p.linear(h, rng.normal(size=(2, 8)))))
        self._program = p.compile()

    def tokens(self):
        return Tokens(grid=(4, 4), special=1, read=self.read)

    def classify(self, prepared):
        return self._program(prepared), None


def picture(seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)


@pytest.mark.parametrize("read", ["first", "pieces"])
def test_attention_has_a_share_for_each_patch(read):
    m, x = Seer(read), picture()
    e = m.explain(x)
    assert (e.method, e.values.shape, e.picture.shape) == ("attention (rollout)", (4, 4), x.shape)
    assert e.values.sum() + e.special == pytest.approx(1)
    through = 0.5 * e.layers["look"][0].mean(0) + 0.5 * np.eye(17)
    row = through[0] if read == "first" else through[1:].mean(0)
    np.testing.assert_allclose(e.values.ravel(), row[1:], atol=1e-7)
    assert e.special == pytest.approx(row[0], abs=1e-7)


def test_occlusion_paints_one_cell_at_a_time_in_the_mean_colour():
    m, x = Seer(), picture()
    e = m.explain(x, method="occlusion", label="light", cells=(4, 2))
    assert e.values.shape == (4, 2)
    hidden = x.copy()
    hidden[8:16, 16:] = x.mean(axis=(0, 1)).round()
    drop = m(x)["light"] - m(hidden)["light"]
    assert e.values[1, 1] == pytest.approx(drop, abs=1e-6)
    assert m.explain(x, method="occlusion").values.shape == (7, 7)
    assert m.explain(ek.synth.ecg(), method="occlusion", cells=(1, 2)).values.shape == (1, 2)


def test_one_picture_at_a_time_and_cells_that_exist():
    m = Seer()
    with pytest.raises(ek.LayoutError, match="one picture, got 2"):
        m.explain([picture(), picture(1)])
    with pytest.raises(ek.LayoutError, match=r"cells must be 1\.\.32 rows"):
        m.explain(picture(), method="occlusion", cells=(33, 1))
    with pytest.raises(ek.EcgkitError, match="no label 'grey'"):
        m.explain(picture(), method="occlusion", label="grey")


def test_it_shows_itself():
    pytest.importorskip("matplotlib")
    m = Seer()
    for e in (m.explain(picture()), m.explain(picture(), method="occlusion")):
        overlay = e.plot().axes[0].images[1].get_array()
        strongest = np.abs(e.values) if e.signed else e.values
        assert overlay[..., 3].argmax() == strongest.argmax()
        assert "row" in repr(e)
        assert e.title in e._repr_html_()
        assert e.to_frame().shape == e.values.shape


def test_vit_looks_at_patches_of_the_page_and_swin_is_occluded():
    m = ek.load_model("image_vit", weights="random", network="vit_tiny")
    e = m.explain(ek.synth.ecg())
    assert isinstance(e, ek.explain.PictureMap)
    assert (e.values.shape, e.picture.shape) == ((14, 14), (224, 224, 3))
    assert len(e.layers) == 12
    row = np.eye(197)[0]
    for w in list(e.layers.values())[::-1]:
        row = row @ (w[0].mean(0) + np.eye(197)) / 2
    np.testing.assert_allclose(e.values.ravel(), row[1:], atol=1e-7)
    swin = ek.load_model("image_vit", weights="random", network="swin_tiny")
    assert swin.explanations == ("occlusion",)
    assert ek.load_model("image_vit", weights="random", network="beit_base").tokens().count == 197
