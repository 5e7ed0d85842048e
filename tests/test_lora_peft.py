"""Against PEFT itself: the same merged tensors on every configuration that is supported."""

import json
import shutil
import warnings

import numpy as np
import pytest
import torch_companions

from ecgkit.lora import merge_checkpoint

torch = pytest.importorskip("torch")
torch_companions.torchvision()
peft = pytest.importorskip("peft", exc_type=ImportError)
transformers = pytest.importorskip("transformers", exc_type=ImportError)
nn = torch.nn

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
BITS = {torch.float32: 24, torch.bfloat16: 8, torch.float16: 11}


def saved(model, folder, shard="60KB"):
    """The model as transformers saves it, or as one safetensors file."""
    if isinstance(model, transformers.PreTrainedModel):
        model.save_pretrained(folder, max_shard_size=shard)
    else:
        from safetensors.torch import save_file

        folder.mkdir()
        save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})


def loaded(folder):
    from safetensors.torch import load_file

    out = {}
    for path in folder.glob("*.safetensors"):
        out.update(load_file(path))
    return out


def train(wrapped, seed=0):
    """Every parameter that PEFT would train gets a value, as if training had happened."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in wrapped.named_parameters():
            if not (p.requires_grad or "lora_" in name or "modules_to_save" in name):
                continue
            noise = torch.randn(p.shape, generator=generator) * 0.05
            p.copy_((p.float() * (1 + noise) if "magnitude" in name else noise).to(p.dtype))


def compare(tmp_path, model, config, *, safe=False, exact=True, parity="exact"):
    """Merge by PEFT and by us; differing elements may lie one rounding apart where not exact."""
    saved(model, tmp_path / "base")
    wrapped = peft.get_peft_model(model, config)
    train(wrapped)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped.save_pretrained(tmp_path / "adapter")
    report = merge_checkpoint(
        tmp_path / "base", tmp_path / "adapter", tmp_path / "out", parity=parity
    )
    saved(wrapped.merge_and_unload(safe_merge=safe), tmp_path / "theirs")
    theirs = loaded(tmp_path / "theirs")
    ours = loaded(tmp_path / "out")
    stored = loaded(tmp_path / "base")
    assert set(stored) <= set(ours)
    changed = 0
    for name, got in ours.items():
        want = theirs[name]
        assert got.dtype == want.dtype, name
        assert got.shape == want.shape, name
        if torch.equal(got, want):
            changed += name in stored and not torch.equal(got, stored[name])
            continue
        assert name in {t.name for t in report.tensors}, f"{name} should be a copy"
        x, y = got.double(), want.double()
        # One rounding of the result, and of the update where PEFT rounds that too.
        size = torch.maximum(torch.maximum(x.abs(), y.abs()), stored[name].double().abs())
        apart = (x - y).abs() / size.clamp_min(1e-30)
        limit = 2.0 ** (1 - BITS[got.dtype]) if got.dtype != torch.float32 else 1e-6
        assert apart.max() <= limit * 1.01, (name, apart.max())
        if exact and got.dtype != torch.float32:
            assert (got != want).float().mean() < 2e-3, name
        changed += 1
    assert changed > 0
    return report


def llama(dtype=torch.float32):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=32, intermediate_size=52, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=96, attention_bias=True, tie_word_embeddings=False,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).to(dtype)


def bert(dtype=torch.float32):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=32, intermediate_size=52, num_hidden_layers=2, num_attention_heads=4,
        vocab_size=96, num_labels=3,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config).to(dtype)


def vit(dtype=torch.float32):
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=32, intermediate_size=52, num_hidden_layers=2, num_attention_heads=4,
        image_size=32, patch_size=8, num_channels=3, num_labels=3,
    )  # fmt: skip
    return transformers.ViTForImageClassification(config).to(dtype)


def gpt2(dtype=torch.float32):
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=96, n_positions=32)
    return transformers.GPT2LMHeadModel(config).to(dtype)


MODELS = {
    "llama": (llama, ["q_proj", "v_proj", "down_proj"]),
    "bert": (bert, ["query", "value", "output.dense"]),
    "vit": (vit, ["query", "value", "dense", "q_proj", "v_proj", "fc2"]),
    "gpt2": (gpt2, ["c_attn", "c_proj"]),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MODELS)
def test_every_shape_of_model_in_every_dtype(tmp_path, name, dtype):
    build, targets = MODELS[name]
    compare(
        tmp_path, build(DTYPES[dtype]),
        peft.LoraConfig(r=4, lora_alpha=8, target_modules=targets, fan_in_fan_out=name == "gpt2"),
    )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_safe_merge_rounds_twice_and_so_does_parity_peft(tmp_path, dtype):
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"])
    compare(tmp_path, llama(DTYPES[dtype]), config, safe=True, parity="peft")


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_adapters_stored_in_sixteen_bits(tmp_path, dtype):
    """PEFT widens them when it loads; what it holds in memory is float32 either way."""
    model = llama(DTYPES[dtype])
    saved(model, tmp_path / "base")
    wrapped = peft.get_peft_model(
        model, peft.LoraConfig(r=4, lora_alpha=8, target_modules=["v_proj"]),
        autocast_adapter_dtype=False,
    )  # fmt: skip
    train(wrapped)
    wrapped.save_pretrained(tmp_path / "adapter")
    again = peft.PeftModel.from_pretrained(
        llama(DTYPES[dtype]), tmp_path / "adapter", autocast_adapter_dtype=True
    )
    merge_checkpoint(tmp_path / "base", tmp_path / "adapter", tmp_path / "out")
    theirs, ours = again.merge_and_unload().state_dict(), loaded(tmp_path / "out")
    for name, got in ours.items():
        assert (got != theirs[name]).float().mean() < 2e-3, name


FIELDS = {
    "rslora": {"use_rslora": True},
    "patterns": {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {r"layers\.1\.": 3, "q_proj": 5}},
    "layers": {"layers_to_transform": [1]},
    "layers and pattern": {"layers_to_transform": 0, "layers_pattern": "layers"},
    "expression": {"target_modules": r".*layers\.0.*(q_proj|up_proj)"},
    "all linear": {"target_modules": "all-linear"},
    "excluded": {"exclude_modules": ["v_proj"]},
    "bias all": {"bias": "all"},
    "bias of targets": {"bias": "lora_only"},
    "lora_bias": {"lora_bias": True},
    "modules_to_save": {"modules_to_save": ["lm_head", "norm"]},
    "embedding": {"target_modules": ["embed_tokens", "q_proj"]},
    "tokens": {"trainable_token_indices": [1, 5, 95]},
    "tokens by module": {"trainable_token_indices": {"embed_tokens": [0, 7]}},
    "dora": {"use_dora": True},
    "dora and rslora": {"use_dora": True, "use_rslora": True, "rank_pattern": {"q_proj": 3}},
    "dora of an embedding": {"use_dora": True, "target_modules": ["embed_tokens", "v_proj"]},
}


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
@pytest.mark.parametrize("field", FIELDS)
def test_every_field_that_changes_arithmetic(tmp_path, field, dtype):
    fields = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]} | FIELDS[field]
    # DoRA: PEFT takes norms in the weight's dtype, we in double. Embeddings: PEFT keeps A and B in
    # the weight's dtype and rounds their product to it.
    exact = "dora" not in field and field != "embedding"
    compare(tmp_path, llama(DTYPES[dtype]), peft.LoraConfig(**fields), exact=exact)


def test_dora_of_a_weight_stored_transposed(tmp_path):
    config = peft.LoraConfig(
        r=4, target_modules=["c_attn", "c_proj"], use_dora=True, fan_in_fan_out=True
    )
    compare(tmp_path, gpt2(), config)


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Conv1d(6, 10, 5)
        self.two = nn.Conv2d(10, 8, 3)
        self.point = nn.Conv2d(8, 12, 1)
        self.three = nn.Conv3d(3, 5, 2)
        self.head = nn.Linear(12, 4)


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("target", ["one", "two", "point", "three", "head"])
def test_convolutions(tmp_path, target, dora):
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=[target], use_dora=dora)
    compare(tmp_path, Convolutions(), config)


def test_a_grouped_convolution_is_refused_as_peft_refuses_it(tmp_path):
    class Grouped(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = nn.Conv1d(8, 8, 3, groups=2)

    model = Grouped()
    saved(model, tmp_path / "base")
    wrapped = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["c"]))
    wrapped.save_pretrained(tmp_path / "adapter")
    import ecgkit as ek

    with pytest.raises(ek.WeightsError, match="grouped"):
        merge_checkpoint(tmp_path / "base", tmp_path / "adapter", tmp_path / "out")


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.attn = nn.MultiheadAttention(16, 4)
        self.head = nn.Linear(16, 3)


def test_multihead_attention_of_pytorch(tmp_path):
    config = peft.LoraConfig(r=4, target_modules=["attn"])
    compare(tmp_path, Attention(), config)


def test_an_embedding_is_exact_with_parity_peft(tmp_path):
    config = peft.LoraConfig(r=4, target_modules=["embed_tokens"])
    compare(tmp_path, llama(torch.bfloat16), config, parity="peft")


def test_two_adapters_as_peft_merges_them_one_after_the_other(tmp_path):
    model = llama()
    saved(model, tmp_path / "base")
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"])
    wrapped = peft.get_peft_model(model, config, adapter_name="one")
    wrapped.add_adapter("two", peft.LoraConfig(r=2, lora_alpha=3, target_modules=["q_proj"]))
    train(wrapped)
    wrapped.save_pretrained(tmp_path / "adapter")
    folders = [tmp_path / "adapter" / n for n in ("one", "two")]
    merge_checkpoint(tmp_path / "base", folders, tmp_path / "out")
    theirs = wrapped.merge_and_unload(adapter_names=["one", "two"]).state_dict()
    for name, got in loaded(tmp_path / "out").items():
        torch.testing.assert_close(got, theirs[name], rtol=1e-6, atol=1e-7)


def test_a_merged_model_loads_in_transformers_and_answers_as_the_wrapped_one(tmp_path):
    model = llama()
    saved(model, tmp_path / "base")
    wrapped = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj", "lm_head"]))
    train(wrapped)
    wrapped.save_pretrained(tmp_path / "adapter")
    merge_checkpoint(tmp_path / "base", tmp_path / "adapter", tmp_path / "out")
    again = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "out", dtype="float32").eval()
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        want, got = wrapped.eval()(tokens).logits, again(tokens).logits
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
    assert np.isfinite(got.numpy()).all()
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(loaded(tmp_path / "out"))
    shutil.rmtree(tmp_path / "out")
