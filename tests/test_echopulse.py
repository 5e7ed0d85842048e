"""ECHOPulse beyond its ECG tower: video tokens, masked tokens, sampling, contract, layouts."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import witness_echopulse as witness

import ecgkit as ek
from ecgkit.models import _echopulse_sampling as sampling
from ecgkit.models import echopulse
from ecgkit.models.echopulse import Echopulse

FULL = {"network": "full", "size": "narrow"}


@pytest.fixture(scope="module")
def weights():
    return witness.weights(**FULL)


@pytest.fixture(scope="module")
def model(weights):
    return ek.load_model("echopulse", weights=weights)


def video(frames=11, side=32, seed=0):
    x = np.random.default_rng(seed).uniform(size=(3, frames, side, side))
    return x.astype(np.float32)


def clip(seed=0):
    """What lies over an echo clip: a second of lead II."""
    return ek.synth.ecg(seed=seed).window(0.0, 1.0)


def as_exact(what, ours, want, theirs):
    scale = np.linalg.norm(want)
    mine, his = (np.linalg.norm(y.astype(np.float64) - want) / scale for y in (ours, theirs))
    assert mine <= 2 * his + 1e-7, f"{what}: error {mine:.3g}, PyTorch float32's {his:.3g}"


def both(weights, patch=8, size="narrow"):
    return [witness.Video(weights, size, patch, double=double) for double in (True, False)]


# ------------------------------------------------------------------ the networks
@pytest.mark.torch
@pytest.mark.parametrize(("frames", "patch"), [(1, 8), (3, 8), (11, 8), (11, 16), (5, 32)])
def test_video_becomes_tokens_and_video_again_like_pytorch(frames, patch):
    pytest.importorskip("torch")
    w = witness.weights(network="tokenizer", size="narrow", patch=patch)
    m = ek.load_model("echopulse", weights=w)
    assert m.variant["patch"] == patch
    x, (exact, single) = video(frames), both(w, patch)
    ids = m.encode(x)
    assert ids.shape == (1 + (frames - 1) // 2, 32 // patch, 32 // patch)
    assert np.array_equal(ids, exact.encode(x))
    got = m.decode(ids)
    assert got.shape == x.shape
    as_exact("decoded", got, exact.decode(ids), single.decode(ids))


@pytest.mark.torch
@pytest.mark.parametrize("steps", [1, 2, 6])
def test_masked_tokens_are_scored_like_pytorch(model, weights, steps):
    pytest.importorskip("torch")
    rng = np.random.default_rng(steps)
    ids, vector = rng.integers(0, 65, (steps, 4, 4)), rng.normal(size=64).astype(np.float32)
    want, theirs = (v.logits(ids, vector) for v in both(weights))
    as_exact("logits", model.logits(ids, vector), want, theirs)
    if steps > 1:
        assert np.array_equal(model.logits(ids, vector, prime=1), model.logits(ids, vector)[16:])


@pytest.mark.torch
@pytest.mark.parametrize("prime", [0, 1, 3])
def test_with_the_same_noise_every_step_has_the_tokens_of_pytorch(model, weights, prime):
    pytest.importorskip("torch")
    reference = witness.Video(weights, "narrow")
    start = model.encode(video(prime)) if prime else None
    given = 16 * ((prime + 1) // 2)
    noise = np.random.default_rng(5).uniform(size=(18, 96 - given, 64)).astype(np.float32)
    states = list(
        model.steps(
            clip(), prime=video(prime) if prime else None,
            noise=lambda step, tokens, codes: noise[step, tokens],
        )
    )  # fmt: skip
    want = reference.sampled(model.embed(clip()), (6, 4, 4), lambda t: noise[t], start)
    assert len(states) == 18
    for state, ids in zip(states, want):
        assert np.array_equal(state.ids, ids)
        assert state.drawn.sum() == sampling.masked(state.step, 18, 96 - given)


# ---------------------------------------------------------------------- sampling
def test_the_schedule_is_the_published_one():
    assert [sampling.masked(t, 18, 1536) for t in (0, 1, 9, 17)] == [1536, 1530, 1086, 134]
    assert sampling.masked(17, 18, 3) == 1
    state = [*sampling.sample(lambda ids: np.zeros((4, 2), np.float32), np.empty(0, np.int32),
                              (1, 2, 2), 2, 18, sampling.seeded(0))]  # fmt: skip
    np.testing.assert_allclose([s.temperature for s in state], 0.9 * np.arange(17, -1, -1) / 18)


def test_the_same_seed_has_the_same_bits_on_any_number_of_threads(model):
    threads = ek.get_threads()
    found = []
    try:
        for n in (1, 2):
            ek.set_threads(n)
            found.append(model.generate(clip(), prime=video(1), seed=3))
    finally:
        ek.set_threads(threads)
    assert np.array_equal(found[0].ids, found[1].ids)
    assert np.array_equal(found[0].frames, found[1].frames)
    assert not np.array_equal(model.generate(clip(), prime=video(1), seed=4).ids, found[0].ids)
    assert not np.array_equal(model.generate(clip(1), prime=video(1), seed=3).ids, found[0].ids)


def test_steps_come_one_by_one_and_end_in_the_clip(model):
    states = model.steps(clip(), seed=1)
    first = next(states)
    assert first.step == 0
    assert first.drawn.all()
    assert first.ids.shape == (6, 4, 4)
    *_, last = states
    made = model.generate(clip(), seed=1)
    assert np.array_equal(made.ids, last.ids)
    assert np.array_equal(made.frames, model.decode(last.ids))
    assert last.temperature == 0
    assert last.ids.max() < 64
    assert made.notes[-1] == "1 s repeated 16 times"


def test_what_was_not_masked_again_stays(model):
    before = None
    for state in model.steps(clip(), prime=video(3)):
        assert np.array_equal(state.ids[:2], model.encode(video(3)))
        assert not state.drawn[:2].any()
        assert (state.scores[~state.drawn] == -1e4).all()
        assert (state.scores[state.drawn] >= 0).all()
        if before is not None:
            assert np.array_equal(state.ids[~state.drawn], before.ids[~state.drawn])
            lowest = before.scores[state.drawn].min()
            assert (before.scores[~state.drawn] <= lowest).all()
        before = state


def test_clips_of_other_lengths_and_scenes_that_go_on(model):
    first = model.generate(clip(), frames=5)
    assert first.frames.shape == (3, 5, 32, 32)
    second = model.generate(clip(), frames=7, prime=np.clip(first.frames[:, -3:], 0, 1), steps=4)
    assert second.ids.shape == (4, 4, 4)
    one = model.generate(clip(), frames=1)
    assert one.frames.shape == (3, 1, 32, 32)


def test_few_programs_stay_and_hold_no_weights_twice(weights):
    m = ek.load_model("echopulse", weights=weights)
    for frames in (1, 3, 5, 7):
        m.generate(clip(), frames=frames, steps=2)
        m.encode(video(frames))
    assert 0 < len(m._kept) <= echopulse.KEPT
    ours = {id(v) for part in m._parts.values() for v in part.values()}
    program = m._kept["maskgit", (4, 4, 4), 0]
    shared = [v for n in program._nodes for v in n.weights.values() if id(v) in ours]
    assert sum(v.size for v in shared) > 0.1 * sum(v.size for v in m._parts["maskgit"].values())
    biases = {id(n.weights["bias"]) for n in program._nodes if n.op == "attention" and n.weights}
    assert len(biases) == 1


def test_eight_threads_share_one_model(model):
    want = model.generate(clip(), seed=9, steps=3).frames
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: model.generate(clip(), seed=9, steps=3).frames, range(8)))
    assert all(np.array_equal(frames, want) for frames in made)


def test_a_batch_of_videos_is_one_video_after_the_other(model):
    x = np.stack([video(seed=i) for i in range(3)])
    ids = model.encode(x)
    assert np.array_equal(ids[1], model.encode(x[1]))
    assert np.array_equal(model.decode(ids)[1], model.decode(ids[1]))
    assert np.array_equal(model.encode(x.astype(np.float64)[..., ::-1, :][..., ::-1, :]), ids)


# ---------------------------------------------------------------------- contract
def prepared(trace, notebook=False):
    z = trace if notebook else (trace - trace.mean()) / trace.std()
    many = np.tile(z, 16)
    out = np.zeros((12, 2250))
    out[1] = np.interp(np.linspace(0, 1, 2250), np.linspace(0, 1, len(many)), many)
    return (out - out.mean()) / out.std() if notebook else out


@pytest.mark.parametrize("notebook", [False, True])
@pytest.mark.parametrize("samples", [103, 167, 5000])
def test_a_trace_of_any_length_is_prepared_as_in_the_repository(notebook, samples):
    trace = np.random.default_rng(samples).uniform(30, 60, samples).round(1)
    how = "notebook" if notebook else "trainer"
    m = ek.load_model("echopulse", weights="random", size="narrow", preprocess=how)
    got = m.preprocess(trace[None])
    assert got.shape == (1, 12, 2250)
    np.testing.assert_allclose(got[0], prepared(trace, notebook), atol=2e-5)
    rec = ek.Record(trace[None], fs=77.7, leads=["II"])
    assert np.array_equal(m.preprocess(rec), got)
    assert np.array_equal(m.preprocess(trace[None], 500), got)


def test_the_contract_says_that_rate_and_length_are_free(model):
    assert "any" in dict(model.contract._rows())["rate"]
    assert ek.list_models()["echopulse"].input == "lead II over the clip, any length and rate, mV"
    text = repr(model.contract)
    assert "repeated_clip(copies=16" in text
    assert "crop" not in text
    back = type(model.contract).from_json(model.contract.to_json())
    assert back == model.contract


def test_lead_two_is_taken_by_name_and_lengths_may_differ(model):
    whole = ek.synth.ecg()
    parts = [whole.window(0.0, 1.0), whole.window(0.0, 1.3), whole.window(0.0, 1.0).pick(["II"])]
    x = model.preprocess(parts)
    assert x.shape == (3, 12, 2250)
    assert np.array_equal(x[0], x[2])
    assert not x[:, [0, *range(2, 12)]].any()
    assert model.embed(parts).shape == (3, 64)
    assert model.embed(clip()).shape == (64,)


def test_what_breaks_the_contract_is_refused_with_the_fix(model):
    rec = clip()
    with pytest.raises(ek.LeadError, match="needs the leads II; the record lacks II"):
        model.embed(rec.pick(["I"]))
    with pytest.raises(ek.ContractError, match="a lead is constant"):
        model.embed(np.ones((1, 100)))
    with pytest.raises(ek.ContractError, match="NaN or infinite"):
        model.embed(np.full((1, 100), np.nan))
    with pytest.raises(ek.LayoutError, match="needs 1 leads"):
        model.embed(rec.signal)
    with pytest.raises(ek.LayoutError, match=r"x\[None, :\]"):
        model.embed(rec["II"])
    with pytest.raises(ek.LayoutError, match="samples must be real numbers"):
        model.embed([["a", "b"]])
    with pytest.raises(ek.LayoutError, match="one recording at a time"):
        model.generate([rec, rec])
    with pytest.raises(ek.EcgkitError, match=r"no classes: use embed"):
        model(rec)


def test_videos_and_tokens_that_do_not_fit_are_refused(model):
    with pytest.raises(ek.LayoutError, match=r"\(3, frames, 32, 32\).*got \(3, 11, 30, 32\)"):
        model.encode(np.zeros((3, 11, 30, 32)))
    with pytest.raises(ek.LayoutError, match="an odd number; got 4 frames"):
        model.encode(np.zeros((3, 4, 32, 32)))
    with pytest.raises(ek.LayoutError, match="an odd number; got 10 frames"):
        model.generate(clip(), frames=10)
    with pytest.raises(ek.LayoutError, match="finite"):
        model.encode(np.full((3, 1, 32, 32), np.nan))
    with pytest.raises(ek.RangeError, match=r"0\.\.63.*64"):
        model.decode(np.full((1, 4, 4), 64))
    with pytest.raises(ek.LayoutError, match="tokens must be integers"):
        model.decode(np.zeros((1, 4, 4)))
    with pytest.raises(ek.LayoutError, match="fewer frames than frames=3"):
        model.generate(clip(), frames=3, prime=video(3))
    with pytest.raises(ek.LayoutError, match="at most 128"):
        model.generate(clip(), frames=17)
    with pytest.raises(ek.EcgkitError, match="steps must be a positive integer"):
        model.generate(clip(), steps=0)


def test_vectors_of_many_files_become_a_table(model, tmp_path):
    pytest.importorskip("pyarrow")
    records = [ek.synth.ecg(seed=i).window(0.0, 1.0 + i / 10) for i in range(6)]
    paths = [ek.io.write(rec, tmp_path / f"r{i}.hea") for i, rec in enumerate(records)]
    report = ek.score(model, paths, tmp_path / "vectors.parquet")
    assert report.failed == 0
    got = np.stack(report.to_frame()["embedding"])
    want = np.stack([model.embed(ek.read(path)) for path in paths])
    assert np.array_equal(got, want.astype(np.float32))


# ------------------------------------------------------------------------ layouts
def test_the_sizes_are_those_of_the_specification():
    def count(network, drop=""):
        shapes = Echopulse.expected(**Echopulse.complete({"network": network}))
        return {k: int(np.prod(s)) for k, s in shapes.items()}

    full = count("full")
    ecg = sum(n for k, n in full.items() if k.startswith("encode_ekg."))
    assert ecg + 3 * 768 + 3 == 85_152_921
    tokenizer = sum(n for k, n in full.items() if k.startswith("cvivit."))
    book = full["cvivit.vq._codebook.embed"]
    assert book == 262_144
    context_norms = 16 * 512
    assert tokenizer - book + context_norms == 51_485_928
    one = sum(n for k, n in full.items() if k.startswith("cvivit.enc_spatial_transformer"))
    assert one + 4 * 512 == 12_647_424
    maskgit = sum(n for k, n in full.items() if k.startswith("maskgit."))
    assert maskgit + 6 * 512 == 36_306_760


def test_each_network_loads_from_its_own_file_and_from_the_generators(weights, model):
    for network, prefix in (("ecg", "encode_ekg."), ("tokenizer", "cvivit.")):
        bare = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        bare |= {"loss_fn_lpips.net.weight": np.ones(3)} if network == "tokenizer" else {}
        own = ek.load_model("echopulse", weights=bare)
        assert own.variant["network"] == network
        assert ek.load_model("echopulse", weights=weights, network=network).fingerprint == (
            own.fingerprint
        )
        wrapped = {f"module.{k}": v for k, v in bare.items() if not k.startswith("loss")}
        assert ek.load_model("echopulse", weights=wrapped).fingerprint == own.fingerprint
        if network == "ecg":
            assert np.array_equal(own.embed(clip()), model.embed(clip()))
            with pytest.raises(ek.EcgkitError, match="has no tokenizer: load the generator's file"):
                own.encode(video())
        else:
            assert np.array_equal(own.encode(video()), model.encode(video()))
            with pytest.raises(ek.EcgkitError, match="has no ECG tower"):
                own.embed(clip())
            with pytest.raises(ek.EcgkitError, match="has no maskgit"):
                own.generate(clip())


@pytest.mark.torch
def test_the_generators_checkpoint_loads_as_it_is(weights, model, tmp_path):
    torch = pytest.importorskip("torch")
    state = {k: torch.from_numpy(np.array(v)) for k, v in weights.items()}
    path = tmp_path / "model-10.pt"
    torch.save({"step": 10, "model": state, "opt": {"state": {}}, "scaler": {}}, path)
    m = ek.load_model("echopulse", weights=path)
    assert m.fingerprint == model.fingerprint
    assert m.variant["network"] == "full"


def test_a_bias_that_the_original_never_trains_must_be_zero(weights):
    key = "cvivit.enc_spatial_transformer.norm_out.beta"
    bent = weights | {key: np.ones_like(weights[key])}
    with pytest.raises(ek.WeightsError, match=r"norm_out\.beta must be zeros"):
        ek.load_model("echopulse", weights=bent)
    lean = {k: v for k, v in weights.items() if not k.endswith(".beta")}
    assert ek.load_model("echopulse", weights=lean).parameters


def test_it_survives_pickling(model):
    back = pickle.loads(pickle.dumps(model))
    made = back.generate(clip(), frames=3, seed=2)
    assert np.array_equal(made.frames, model.generate(clip(), frames=3, seed=2).frames)


# --------------------------------------------------------------- the published size
@pytest.mark.slow
@pytest.mark.torch
def test_the_published_size_makes_a_clip_like_pytorch():
    """Everything once: tokens of a first frame, one pass of the token transformer, decoding."""
    pytest.importorskip("torch")
    w = witness.weights(network="full")
    m = ek.load_model("echopulse", weights=w)
    frames = video(11, side=128)
    own = {k: v for k, v in w.items() if not k.startswith("encode_ekg.")}
    single = witness.Video(own, "published")
    ids = m.encode(frames)
    assert (ids == single.encode(frames)).mean() >= 0.999
    got, theirs = m.decode(ids), single.decode(ids)
    vector = m.embed(clip())
    masked = np.where(np.random.default_rng(1).uniform(size=ids.shape) < 0.5, 8192, ids)
    logits, his = m.logits(masked, vector), single.logits(masked, vector)
    del single
    exact = witness.Video(own, "published", double=True)
    as_exact("decoded", got, exact.decode(ids), theirs)
    as_exact("logits", logits, exact.logits(masked, vector), his)
    first = next(m.steps(clip(), prime=frames[:, :1]))
    assert first.drawn.sum() == 1280
