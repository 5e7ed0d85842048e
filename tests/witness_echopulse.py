"""ECHOPulse's networks in PyTorch, written from their specification.

``module`` is the ECG tower. `Video` holds the others, for ``test_echopulse.py``.
"""

import math

import numpy as np
from model_witness import functional, random_weights

CASES = [
    {"network": "full", "size": "narrow"},
    {"network": "ecg", "size": "narrow"},
    {"network": "full", "size": "narrow", "preprocess": "notebook", "patch": 16},
    {"network": "ecg"},
]
MAIN = [{"network": "ecg"}]  # what the benchmark of models measures
# ECG width and depth; token width, heads, spatial and temporal layers; codes and their width;
# layers of the token transformer; its positions
SIZES = {
    "published": (768, 12, 512, 8, 4, 4, 8192, 32, 6, 2048),
    "narrow": (64, 2, 32, 2, 1, 2, 64, 8, 2, 128),
}


def layout(network, size="published", patch=8, **_):
    """The generator file's keys, those that the forward leaves unused among them."""
    ew, ed, d, heads, ns, nt, codes, cw, depth, positions = SIZES[size]
    shapes = {}

    def layer(at, *shape):
        shapes[f"{at}.weight"], shapes[f"{at}.bias"] = shape, shape[:1]

    def norm(at, n):
        shapes[f"{at}.gamma"] = shapes[f"{at}.beta"] = (n,)

    def attention(at, context=None):
        norm(f"{at}.norm", d)
        norm(f"{at}.context_norm", context or d)
        shapes[f"{at}.q_scale"] = shapes[f"{at}.k_scale"] = (64,)
        shapes[f"{at}.to_q.weight"] = (64 * heads, d)
        shapes[f"{at}.to_kv.weight"] = (128 * heads, context or d)
        shapes[f"{at}.to_out.weight"] = (d, 64 * heads)
        if context:
            shapes[f"{at}.null_kv"] = (heads, 4, 64)

    def transformer(at, n, context=None):
        inner = int(d * 8 / 3)
        for i in range(n):
            shapes[f"{at}.layers.{i}.0.dsconv.weight"] = (d, 1, 3, 3, 3)
            shapes[f"{at}.layers.{i}.0.dsconv.bias"] = (d,)
            attention(f"{at}.layers.{i}.1")
            if context:
                attention(f"{at}.layers.{i}.2", context)
            layer(f"{at}.layers.{i}.3.0", d)
            shapes[f"{at}.layers.{i}.3.1.weight"] = (2 * inner, d)
            shapes[f"{at}.layers.{i}.3.4.weight"] = (d, inner)
        norm(f"{at}.norm_out", d)

    def positions_of(at, axes, units):
        layer(f"{at}.net.0.0", units, axes)
        layer(f"{at}.net.1.0", units, units)
        layer(f"{at}.net.2", heads, units)

    if network in ("full", "tokenizer"):
        at = "cvivit."
        positions_of(f"{at}spatial_rel_pos_bias", 2, d)
        for name, pixels in (("_first_frame", 3 * patch * patch), ("", 6 * patch * patch)):
            layer(f"{at}to_patch_emb{name}.1", pixels)
            layer(f"{at}to_patch_emb{name}.2", d, pixels)
            layer(f"{at}to_patch_emb{name}.3", d)
            layer(f"{at}to_pixels{name}.0", pixels, d)
        for end in ("enc", "dec"):
            transformer(f"{at}{end}_spatial_transformer", ns)
            transformer(f"{at}{end}_temporal_transformer", nt)
        layer(f"{at}vq.project_in", cw, d)
        layer(f"{at}vq.project_out", d, cw)
        shapes[f"{at}vq._codebook.initted"] = (1,)
        shapes[f"{at}vq._codebook.cluster_size"] = (1, codes)
        shapes[f"{at}vq._codebook.embed_avg"] = (1, codes, cw)
        shapes[f"{at}vq._codebook.embed"] = (1, codes, cw)
    if network == "full":
        at = "maskgit."
        shapes[f"{at}token_emb.weight"] = (codes + 1, d)
        shapes[f"{at}pos_emb.weight"] = (positions, d)
        positions_of(f"{at}continuous_pos_bias", 3, 64)
        transformer(f"{at}transformer", depth, ew)
        layer(f"{at}to_logits", codes, d)
    if network in ("full", "ecg"):
        at = "encode_ekg."
        shapes |= {f"{at}pos_embedding": (1, 32, ew), f"{at}sep_embedding": (ew,)}
        shapes |= {f"{at}lead_embeddings.{i}": (ew,) for i in range(12)}
        layer(f"{at}to_patch_embedding.1", 75)
        layer(f"{at}to_patch_embedding.2", ew, 75)
        layer(f"{at}to_patch_embedding.3", ew)
        for i in range(ed):
            layer(f"{at}block{i}.attn.norm", ew)
            layer(f"{at}block{i}.attn.fn.to_qkv", 3 * ew, ew)
            layer(f"{at}block{i}.attn.fn.to_out.0", ew, ew)
            layer(f"{at}block{i}.ff.norm", ew)
            layer(f"{at}block{i}.ff.fn.net.0", 4 * ew, ew)
            layer(f"{at}block{i}.ff.fn.net.3", ew, 4 * ew)
        layer(f"{at}norm", ew)
        layer(f"{at}head", 3, ew)
    return shapes


def weights(seed=0, **variant):
    found = random_weights(layout(**variant), seed)
    rng = np.random.default_rng(seed + 1)
    for key, value in found.items():
        if key.endswith(".beta"):
            value[:] = 0
        elif key.endswith((".gamma", "_scale")):
            value[:] = rng.uniform(0.5, 1.5, value.shape)
        elif key.endswith("_codebook.embed"):
            value[:] = rng.normal(size=value.shape)
            value /= np.linalg.norm(value, axis=-1, keepdims=True)
    return found


def inputs(n, seed=0, **_):
    return np.random.default_rng(seed).normal(size=(n, 12, 2250)).astype(np.float32)


def module(weights, double=False, **variant):
    own = {k[11:]: v for k, v in weights.items() if k.startswith("encode_ekg.")}
    return functional(tower, own, double)


def tower(w, x, tap):
    import torch
    import torch.nn.functional as F

    d = len(w["sep_embedding"])

    def norm(at, x):
        return F.layer_norm(x, x.shape[-1:], w[f"{at}.weight"], w[f"{at}.bias"])

    def linear(at, x):
        return F.linear(x, w[f"{at}.weight"], w[f"{at}.bias"])

    n = len(x)
    h = norm("to_patch_embedding.1", x.reshape(n, 12, 30, 75))
    h = norm("to_patch_embedding.3", linear("to_patch_embedding.2", h))
    position = w["pos_embedding"][0]
    h = h + position[1:31]
    left, right = ((w["sep_embedding"] + position[i]).expand(n, 12, 1, d) for i in (0, 31))
    h = torch.cat([left, h, right], 2)
    h = h + torch.stack([w[f"lead_embeddings.{i}"] for i in range(12)])[:, None]
    h = h.reshape(n, 384, d)
    depth = sum(k.endswith("to_qkv.weight") for k in w)
    for i in range(depth):
        y = linear(f"block{i}.attn.fn.to_qkv", norm(f"block{i}.attn.norm", h))
        q, k, v = (t.reshape(n, 384, d // 64, 64).transpose(1, 2) for t in y.chunk(3, -1))
        y = (q @ k.transpose(-1, -2) / 8).softmax(-1) @ v
        h = h + linear(f"block{i}.attn.fn.to_out.0", y.transpose(1, 2).reshape(n, 384, d))
        y = F.gelu(linear(f"block{i}.ff.fn.net.0", norm(f"block{i}.ff.norm", h)))
        h = h + linear(f"block{i}.ff.fn.net.3", y)
        tap(f"block{i}", h if i < depth - 1 else h.reshape(n, 12, 32, d)[:, 1, 1:31])
    return tap("features", norm("norm", h.reshape(n, 12, 32, d)[:, 1, 1:31].mean(1)))


# ------------------------------------------------------------- the video's networks
class Video:
    """C-ViViT and the masked-token transformer, one clip at a time, in either precision."""

    def __init__(self, weights, size, patch=8, double=False):
        import torch

        kind = torch.float64 if double else torch.float32
        self.w = {k: torch.from_numpy(np.array(v)).to(kind) for k, v in weights.items()}
        self.kind, self.patch = kind, patch
        _, _, self.d, self.heads, self.ns, self.nt, self.codes, _, self.depth, _ = SIZES[size]

    def norm(self, at, x):
        import torch.nn.functional as F

        if f"{at}.gamma" in self.w:
            return F.layer_norm(x, x.shape[-1:], self.w[f"{at}.gamma"], self.w[f"{at}.beta"])
        return F.layer_norm(x, x.shape[-1:], self.w[f"{at}.weight"], self.w[f"{at}.bias"])

    def linear(self, at, x):
        import torch.nn.functional as F

        return F.linear(x, self.w[f"{at}.weight"], self.w.get(f"{at}.bias"))

    def bias(self, at, *grid):
        """(heads, tokens, tokens), pair by pair, row by row."""
        import torch
        import torch.nn.functional as F

        axes = [torch.arange(n) for n in grid]
        place = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(grid))
        rows = []
        for some in place.split(64):
            d = (some[:, None] - place[None]).to(self.kind)
            h = d.sign() * (d.abs() + 1).log()
            h = F.leaky_relu(self.linear(f"{at}.net.0.0", h), 0.1)
            h = F.leaky_relu(self.linear(f"{at}.net.1.0", h), 0.1)
            rows.append(self.linear(f"{at}.net.2", h))
        return torch.cat(rows).permute(2, 0, 1)

    def attention(self, at, x, bias=None, context=None):
        import torch
        import torch.nn.functional as F

        def split(t):
            return t.reshape(*t.shape[:-1], self.heads, 64).transpose(-2, -3)

        source = x if context is None else self.norm(f"{at}.context_norm", context)
        q = split(self.linear(f"{at}.to_q", self.norm(f"{at}.norm", x)))
        k, v = (split(t) for t in self.linear(f"{at}.to_kv", source).chunk(2, -1))
        if context is not None:
            null = self.w[f"{at}.null_kv"]
            k = torch.cat([null[None, :, [0, 2]], k], -2)
            v = torch.cat([null[None, :, [1, 3]], v], -2)
        q = F.normalize(q, dim=-1) * self.w[f"{at}.q_scale"]
        k = F.normalize(k, dim=-1) * self.w[f"{at}.k_scale"]
        logits = 8 * q @ k.transpose(-1, -2)
        y = (logits if bias is None else logits + bias).softmax(-1) @ v
        return self.linear(f"{at}.to_out", y.transpose(-2, -3).flatten(-2))

    def transformer(self, at, x, grid, depth, causal=True, bias=None, context=None):
        import torch.nn.functional as F

        for i in range(depth):
            layer = f"{at}.layers.{i}"
            h = x.reshape(1, *grid, self.d).permute(0, 4, 1, 2, 3)
            h = F.pad(h, (1, 1, 1, 1, *((2, 0) if causal else (1, 1))))
            weight, shift = (self.w[f"{layer}.0.dsconv.{k}"] for k in ("weight", "bias"))
            h = F.conv3d(h, weight, shift, groups=self.d)
            x = x + h.permute(0, 2, 3, 4, 1).reshape(x.shape)
            x = x + self.attention(f"{layer}.1", x, bias)
            if context is not None:
                x = x + self.attention(f"{layer}.2", x, None, context)
            value, gate = self.linear(f"{layer}.3.1", self.norm(f"{layer}.3.0", x)).chunk(2, -1)
            x = x + self.linear(f"{layer}.3.4", value * F.gelu(gate))
        return self.norm(f"{at}.norm_out", x)

    def codes_of(self, frames):
        """Unit vectors (T, rows, columns, code width)."""
        import torch
        import torch.nn.functional as F

        at, s = "cvivit.", self.patch
        x = torch.from_numpy(np.asarray(frames)).to(self.kind)
        side, steps = x.shape[-1] // s, 1 + (x.shape[1] - 1) // 2
        first = x[:, :1].reshape(3, 1, side, s, side, s).permute(1, 2, 4, 0, 3, 5)
        parts = [("_first_frame", first.reshape(1, side * side, -1))]
        if steps > 1:
            rest = x[:, 1:].reshape(3, steps - 1, 2, side, s, side, s).permute(1, 3, 5, 0, 2, 4, 6)
            parts.append(("", rest.reshape(steps - 1, side * side, -1)))
        tokens = []
        for name, t in parts:
            t = self.linear(f"{at}to_patch_emb{name}.2", self.norm(f"{at}to_patch_emb{name}.1", t))
            tokens.append(self.norm(f"{at}to_patch_emb{name}.3", t))
        h, grid = torch.cat(tokens), (steps, side, side)
        bias = self.bias(f"{at}spatial_rel_pos_bias", side, side)
        h = self.transformer(f"{at}enc_spatial_transformer", h, grid, self.ns, bias=bias)
        h = h.transpose(0, 1).contiguous()
        h = self.transformer(f"{at}enc_temporal_transformer", h, grid, self.nt).transpose(0, 1)
        h = F.normalize(self.linear(f"{at}vq.project_in", h), dim=-1)
        return h.reshape(*grid, -1)

    def encode(self, frames):
        return (self.codes_of(frames) @ self.w["cvivit.vq._codebook.embed"][0].T).argmax(-1).numpy()

    def decode(self, ids):
        import torch

        at, s = "cvivit.", self.patch
        ids = torch.from_numpy(np.asarray(ids)).long()
        steps, side, _ = grid = tuple(ids.shape)
        h = self.linear(f"{at}vq.project_out", self.w[f"{at}vq._codebook.embed"][0][ids])
        h = h.reshape(steps, side * side, self.d).transpose(0, 1).contiguous()
        h = self.transformer(f"{at}dec_temporal_transformer", h, grid, self.nt)
        h = h.transpose(0, 1).contiguous()
        bias = self.bias(f"{at}spatial_rel_pos_bias", side, side)
        h = self.transformer(f"{at}dec_spatial_transformer", h, grid, self.ns, bias=bias)
        y = self.linear(f"{at}to_pixels_first_frame.0", h[:1]).reshape(1, side, side, 3, 1, s, s)
        parts = [y]
        if steps > 1:
            y = self.linear(f"{at}to_pixels.0", h[1:])
            parts.append(y.reshape(steps - 1, side, side, 3, 2, s, s))
        parts = [y.permute(3, 0, 4, 1, 5, 2, 6).reshape(3, -1, side * s, side * s) for y in parts]
        return torch.cat(parts, 1).numpy()

    def logits(self, ids, vector):
        """Of all tokens."""
        import torch

        at = "maskgit."
        ids = torch.from_numpy(np.asarray(ids)).long()
        flat = ids.reshape(-1)
        h = self.w[f"{at}token_emb.weight"][flat] + self.w[f"{at}pos_emb.weight"][: len(flat)]
        if not hasattr(self, "_bias"):
            self._bias = self.bias(f"{at}continuous_pos_bias", *ids.shape)
        context = torch.from_numpy(np.asarray(vector)).to(self.kind).reshape(1, 1, -1)
        h = self.transformer(
            f"{at}transformer", h[None], tuple(ids.shape), self.depth, False, self._bias, context
        )
        return self.linear(f"{at}to_logits", h)[0].numpy()

    def sampled(self, vector, grid, uniform, prime=None):
        """Token numbers after each of 18 steps; ``uniform(step)`` is (new token, code)."""
        import torch

        prime = np.empty((0, *grid[1:]), np.int64) if prime is None else prime
        n = math.prod(grid) - prime.size
        ids = torch.full((n,), self.codes)
        mask = torch.ones(n, dtype=torch.bool)
        scores, states = None, []
        for t in range(18):
            if t > 0:
                k = max(1, round(n * math.cos(math.pi / 2 * t / 18)))
                mask = torch.zeros(n, dtype=torch.bool).scatter(0, scores.topk(k).indices, True)
                ids = torch.where(mask, self.codes, ids)
            both = np.concatenate([prime.reshape(-1), ids.numpy()]).reshape(grid)
            logits = torch.from_numpy(self.logits(both, vector))[prime.size :]
            u = torch.from_numpy(uniform(t)).to(self.kind)
            gumbel = -torch.log(-torch.log(u + 1e-10) + 1e-10)
            cand = (logits / max(0.9 * (17 - t) / 18, 1e-10) + gumbel).argmax(-1)
            ids = torch.where(mask, cand, ids)
            p = logits.softmax(-1).gather(-1, cand[:, None])[:, 0]
            scores = torch.where(mask, 1 - p, -1e4)
            states.append(np.concatenate([prime.reshape(-1), ids.numpy()]).reshape(grid))
        return states
