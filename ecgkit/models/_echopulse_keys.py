"""ECHOPulse's sizes and the key layouts of its three networks."""

from __future__ import annotations

from dataclasses import dataclass

Shapes = dict[str, tuple[int, ...]]
HEAD = 64  # of every attention
LEADS, PATCHES, SAMPLES = 12, 30, 75  # of the ECG tower: leads, patches per lead, samples each
OFFSETS = 64  # units of the token transformer's position network


@dataclass(frozen=True)
class Size:
    """Widths and depths: of the ECG tower, of video tokens (``width``, the same in the token
    transformer), of the codebook; ``image`` is the side of a frame in pixels."""

    ecg_width: int = 768
    ecg_depth: int = 12
    width: int = 512
    heads: int = 8
    spatial: int = 4
    temporal: int = 4
    codes: int = 8192
    code_width: int = 32
    depth: int = 6
    positions: int = 2048
    image: int = 128

    @property
    def inner(self) -> int:
        """Units of a gated feed-forward layer."""
        return int(4 * (2 / 3) * self.width)


SIZES = {
    "published": Size(),
    "narrow": Size(64, 2, 32, 2, 1, 2, 64, 8, 2, 128, 32),
}


def _pair(shapes: Shapes, at: str, *shape: int) -> None:
    shapes[f"{at}.weight"], shapes[f"{at}.bias"] = shape, shape[:1]


def ecg_shapes(size: Size) -> Shapes:
    """The ST-MEM tower."""
    d = size.ecg_width
    shapes: Shapes = {"pos_embedding": (1, PATCHES + 2, d), "sep_embedding": (d,)}
    shapes |= {f"lead_embeddings.{i}": (d,) for i in range(LEADS)}
    _pair(shapes, "to_patch_embedding.1", SAMPLES)
    _pair(shapes, "to_patch_embedding.2", d, SAMPLES)
    _pair(shapes, "to_patch_embedding.3", d)
    for i in range(size.ecg_depth):
        _pair(shapes, f"block{i}.attn.norm", d)
        _pair(shapes, f"block{i}.attn.fn.to_qkv", 3 * d, d)
        _pair(shapes, f"block{i}.attn.fn.to_out.0", d, d)
        _pair(shapes, f"block{i}.ff.norm", d)
        _pair(shapes, f"block{i}.ff.fn.net.0", 4 * d, d)
        _pair(shapes, f"block{i}.ff.fn.net.3", d, 4 * d)
    _pair(shapes, "norm", d)
    return shapes


def _layers(size: Size, at: str, depth: int, context: int) -> Shapes:
    """A transformer; with ``context``, each layer also looks at a context of that width."""
    d, heads = size.width, size.heads * HEAD
    shapes: Shapes = {}
    for i in range(depth):
        layer = f"{at}.layers.{i}"
        shapes[f"{layer}.0.dsconv.weight"] = (d, 1, 3, 3, 3)
        shapes[f"{layer}.0.dsconv.bias"] = (d,)
        for k, source in ((1, d), (2, context)):
            if not source:
                continue
            here = f"{layer}.{k}"
            shapes[f"{here}.norm.gamma"] = (d,)
            if k == 2:
                shapes[f"{here}.context_norm.gamma"] = (source,)
                shapes[f"{here}.null_kv"] = (size.heads, 4, HEAD)
            shapes[f"{here}.q_scale"] = shapes[f"{here}.k_scale"] = (HEAD,)
            shapes[f"{here}.to_q.weight"] = (heads, d)
            shapes[f"{here}.to_kv.weight"] = (2 * heads, source)
            shapes[f"{here}.to_out.weight"] = (d, heads)
        _pair(shapes, f"{layer}.3.0", d)
        shapes[f"{layer}.3.1.weight"] = (2 * size.inner, d)
        shapes[f"{layer}.3.4.weight"] = (d, size.inner)
    shapes[f"{at}.norm_out.gamma"] = (d,)
    return shapes


def _position_shapes(at: str, axes: int, units: int, heads: int) -> Shapes:
    shapes: Shapes = {}
    _pair(shapes, f"{at}.net.0.0", units, axes)
    _pair(shapes, f"{at}.net.1.0", units, units)
    _pair(shapes, f"{at}.net.2", heads, units)
    return shapes


def tokenizer_shapes(size: Size, patch: int) -> Shapes:
    """C-ViViT: video to tokens and back."""
    d = size.width
    shapes = _position_shapes("spatial_rel_pos_bias", 2, d, size.heads)
    for at, frames in (("to_patch_emb_first_frame", 1), ("to_patch_emb", 2)):
        pixels = 3 * frames * patch * patch
        _pair(shapes, f"{at}.1", pixels)
        _pair(shapes, f"{at}.2", d, pixels)
        _pair(shapes, f"{at}.3", d)
    for end in ("enc", "dec"):
        shapes |= _layers(size, f"{end}_spatial_transformer", size.spatial, 0)
        shapes |= _layers(size, f"{end}_temporal_transformer", size.temporal, 0)
    _pair(shapes, "vq.project_in", size.code_width, d)
    _pair(shapes, "vq.project_out", d, size.code_width)
    shapes["vq._codebook.embed"] = (1, size.codes, size.code_width)
    _pair(shapes, "to_pixels_first_frame.0", 3 * patch * patch, d)
    _pair(shapes, "to_pixels.0", 6 * patch * patch, d)
    return shapes


def maskgit_shapes(size: Size) -> Shapes:
    """The transformer over masked tokens."""
    d = size.width
    shapes: Shapes = {
        "token_emb.weight": (size.codes + 1, d),
        "pos_emb.weight": (size.positions, d),
    }
    shapes |= _position_shapes("continuous_pos_bias", 3, OFFSETS, size.heads)
    shapes |= _layers(size, "transformer", size.depth, size.ecg_width)
    _pair(shapes, "to_logits", size.codes, d)
    return shapes
