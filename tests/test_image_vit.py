"""Facts of the image models: sizes, layouts, processors, and what they refuse."""

import numpy as np
import pytest
from PIL import Image

import ecgkit as ek
from ecgkit.errors import ContractError, EcgkitError, LayoutError, WeightsError
from ecgkit.models import _systems

SYSTEM = _systems()["image_vit"]


def load(**variant):
    return ek.load_model("image_vit", weights="random", **{"network": "vit_tiny", **variant})


@pytest.fixture(scope="module")
def model():
    return load()


def size(**variant):
    return sum(np.prod(s) for s in SYSTEM.expected(**SYSTEM.complete(variant)).values())


@pytest.mark.parametrize("layout", ["transformers", "timm"])
def test_parameters_are_those_of_the_published_networks(layout):
    for network, bare, four, head, classes in (
        ("vit_base", 85_798_656, 85_801_732, 86_567_656, 1000),
        ("beit_base", 85_761_984, 85_765_060, 102_557_713, 21_841),
        ("swin_tiny", 27_519_354, 27_522_430, 28_288_354, 1000),
    ):
        named = {"network": network, "layout": layout}
        assert size(**named, num_classes=0) == bare
        assert size(**named) == four
        assert size(**named, num_classes=classes) == head


def test_each_network_has_its_processor():
    for network, resample, mean in (("vit_base", "bilinear", 0.5), ("beit_base", "bilinear", 0.5),
                                    ("swin_tiny", "bicubic", 0.485)):  # fmt: skip
        contract = SYSTEM.contract_of(**SYSTEM.complete({"network": network}))
        assert (contract.resample, contract.mean[0]) == (resample, mean)
        assert contract.size == (224, 224)


def test_pictures_files_and_records_are_answered(model, tmp_path):
    rec = ek.synth.ecg()
    page = ek.plot.page_image(rec)
    Image.fromarray(page).save(tmp_path / "page.png")
    one = model(rec)
    assert one.single
    assert one.top in SYSTEM.labels
    assert "drawn as a page" in one.notes[0]
    np.testing.assert_allclose(one.probabilities.sum(), 1, rtol=1e-6)
    for same in (page, Image.fromarray(page), tmp_path / "page.png", str(tmp_path / "page.png")):
        np.testing.assert_array_equal(model(same).probabilities, one.probabilities)
    many = model([rec, page, tmp_path / "page.png"])
    assert len(many) == 3
    np.testing.assert_array_equal(many.probabilities[2], one.probabilities)
    assert model.embed(page).shape == (192,)
    assert model.embed(np.stack([page] * 2)).shape == (2, 192)
    assert len(model([])) == 0


def test_pictures_are_scored_into_a_table(model, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    for i in range(3):
        Image.fromarray(ek.plot.page_image(ek.synth.ecg(seed=i))).save(tmp_path / f"{i}.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    ek.score(model, str(tmp_path / "*.png"), tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet").to_pandas().sort_values("record")
    assert list(table["status"]) == ["ok", "ok", "ok", "failed"]
    want = model([str(tmp_path / f"{i}.png") for i in range(3)]).probabilities
    np.testing.assert_array_equal(table[list(model.labels)].to_numpy()[:3], want)


def test_signals_and_rates_are_refused(model):
    with pytest.raises(LayoutError, match=r"ek\.Record"):
        model(ek.synth.ecg().signal)
    with pytest.raises(ContractError, match="leave fs out"):
        model(ek.plot.page_image(ek.synth.ecg()), 500)


def test_base_files_without_prefix_and_other_head_sizes_load():
    w = ek.models.random_tensors(SYSTEM.expected("vit_tiny", "transformers", 7), 0)
    m = ek.load_model("image_vit", weights=w)
    assert m.title == "image_vit(network=vit_tiny, layout=transformers, num_classes=7)"
    assert m.labels[6] == "class 6"
    bare = {k.removeprefix("vit."): v for k, v in w.items()}
    assert ek.load_model("image_vit", weights=bare).fingerprint == m.fingerprint
    features = ek.load_model("image_vit", weights=w, num_classes=0)
    page = ek.plot.page_image(ek.synth.ecg())
    np.testing.assert_array_equal(features.embed(page), m.embed(page))
    with pytest.raises(EcgkitError, match="features, not classes"):
        features(page)


@pytest.mark.parametrize(
    "extra",
    [
        {"beit.embeddings.mask_token": (1, 1, 768)},
        {"beit.encoder.relative_position_bias.relative_position_bias_table": (732, 12)},
    ],
)
def test_beit_files_that_were_only_pretrained_are_refused(extra):
    shapes = SYSTEM.expected("beit_base", "transformers", 4)
    w = {k: np.zeros(s, np.float32) for k, s in {**shapes, **extra}.items()}
    with pytest.raises(WeightsError, match=next(iter(extra))):
        ek.load_model("image_vit", weights=w)


def test_an_unknown_width_is_named():
    w = {"patch_embed.proj.weight": np.zeros((100, 3, 16, 16), np.float32)}
    with pytest.raises(WeightsError, match="vit of width 100"):
        ek.load_model("image_vit", weights=w)


def test_pages_are_explained_by_attention_and_by_occlusion(model):
    page = ek.plot.page_image(ek.synth.ecg())
    seen = model.explain(page)
    assert model.explanations == ("attention", "occlusion")
    assert seen.values.shape == (14, 14)
    np.testing.assert_allclose(seen.values.sum() + seen.special, 1, rtol=1e-5)
    dropped = model.explain(page, method="occlusion", cells=(2, 3))
    assert dropped.values.shape == (2, 3)
    assert load(network="swin_tiny").explanations == ("occlusion",)
