"""ProtoECGNet in PyTorch as its authors run it: pictures of one row, windows cut and compared one
by one."""

import numpy as np
from model_witness import batch_norm, functional, random_weights

CASES = [
    {"network": "rhythm"},
    {"network": "diffuse"},
    {"network": "morphology", "morphology": 104},
    {"network": "morphology", "morphology": 104, "pool": "max"},
    {"network": "morphology", "morphology": 104, "pool": "topk"},
    {},
]
MAIN = [{"network": "rhythm"}, {"network": "diffuse"}, {}]  # what the benchmark of models measures
CLASSES = {"rhythm": 16, "morphology": 52, "diffuse": 3, "fusion": 71}
PREFIX = {"rhythm": "model1d.", "morphology": "model2d_partial.", "diffuse": "model2d_global."}
COUNT = {"rhythm": 80, "morphology": 936, "diffuse": 21}
VECTOR = {"rhythm": (512,), "morphology": (512, 1, 3), "diffuse": (512, 1, 32)}


def layout(branch, count):
    """All that a branch's file holds."""
    picture = branch != "rhythm"
    at = "feature_extractor." + ("resnet." if picture else "")
    shapes = dict.fromkeys(("prototype_vectors", "ones"), (count, *VECTOR[branch]))
    shapes["prototype_class_identity"] = (count, CLASSES[branch])

    def norm(key, n):
        names = ("weight", "bias", "running_mean", "running_var")
        shapes.update({f"{at}{key}.{k}": (n,) for k in names})
        shapes[f"{at}{key}.num_batches_tracked"] = ()

    shapes[f"{at}conv1.weight"] = (64, 1, 12, 7) if picture else (64, 12, 7)
    norm("bn1", 64)
    cin = 64
    for stage, cout in enumerate((64, 128, 256, 512), 1):
        for i in range(2):
            key = f"layer{stage}.{i}"
            side = (3, 3) if picture else (3,)
            shapes[f"{at}{key}.conv1.weight"] = (cout, cin, *side)
            norm(f"{key}.bn1", cout)
            shapes[f"{at}{key}.conv2.weight"] = (cout, cout, *side)
            norm(f"{key}.bn2", cout)
            if cin != cout:
                shapes[f"{at}{key}.downsample.0.weight"] = (cout, cin, *[1] * len(side))
                norm(f"{key}.downsample.1", cout)
            cin = cout
    if picture:
        shapes |= {f"{at}fc.weight": (1000, 512), f"{at}fc.bias": (1000,)}
    for i in (0, 2):
        shapes[f"add_on_layers.{i}.weight"] = (512, 512, *((1, 1) if picture else ()))
        shapes[f"add_on_layers.{i}.bias"] = (512,)
    return shapes | {"classifier.weight": (CLASSES[branch], count)}


def weights(seed=0, *, network="fusion", pool="mean", **counts):
    counts = COUNT | counts
    wanted = COUNT if network == "fusion" else [network]
    shapes = {}
    for branch in wanted:
        at = PREFIX[branch] if network == "fusion" else ""
        shapes |= {f"{at}{k}": s for k, s in layout(branch, counts[branch]).items()}
    if network == "fusion":
        shapes |= {"classifier.weight": (71, sum(counts.values())), "classifier.bias": (71,)}
    found = random_weights(shapes, seed)
    rng = np.random.default_rng(seed)
    for key in found:
        if key.endswith("prototype_vectors"):  # as projected: outputs of a sigmoid
            found[key] = rng.uniform(0, 1, found[key].shape).astype(np.float32)
        if key.endswith("prototype_class_identity"):
            count, classes = found[key].shape
            found[key] = np.eye(classes, dtype=np.float32)[np.arange(count) * classes // count]
    return found


def inputs(n, seed=0, **variant):
    return np.random.default_rng(seed).normal(size=(n, 12, 1000)).astype(np.float32)


def module(weights, double=False, *, network="fusion", pool="mean", **counts):
    def forward(w, x, tap):
        import torch

        if network != "fusion":
            s = tap("features", tap("scores", branch(network, w, "", x, pool, tap)))
            return s @ w["classifier.weight"].T
        scores = []
        for name, at in PREFIX.items():
            s = tap(f"{at}scores", branch(name, w, at, x, pool, tap))
            tap(f"{at}logits", s @ w[f"{at}classifier.weight"].T)
            scores.append(s)
        s = tap("features", torch.cat(scores, 1))
        return s @ w["classifier.weight"].T + w["classifier.bias"]

    return functional(forward, weights, double)


def branch(name, w, at, x, pool, tap):
    import torch
    import torch.nn.functional as F

    picture = name != "rhythm"
    conv, pooled = (F.conv2d, F.max_pool2d) if picture else (F.conv1d, F.max_pool1d)
    e = f"{at}feature_extractor." + ("resnet." if picture else "")
    h = x.unsqueeze(1) if picture else x
    stride, pad = ((1, 2), (0, 3)) if picture else (2, 3)
    h = conv(h, w[f"{e}conv1.weight"], stride=stride, padding=pad)
    h = pooled(F.relu(batch_norm(w, f"{e}bn1", h)), 3, 2, 1)
    for stage in range(1, 5):
        for i in range(2):
            key, s = f"{e}layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            y = conv(h, w[f"{key}.conv1.weight"], stride=s, padding=1)
            y = F.relu(batch_norm(w, f"{key}.bn1", y))
            y = batch_norm(w, f"{key}.bn2", conv(y, w[f"{key}.conv2.weight"], padding=1))
            if s == 2:
                h = conv(h, w[f"{key}.downsample.0.weight"], stride=2)
                h = batch_norm(w, f"{key}.downsample.1", h)
            h = F.relu(h + y)
            tap(key, h.squeeze(2) if picture else h)
    layer = F.conv2d if picture else F.linear
    h = h if picture else h.mean(-1)
    for i in (0, 2):
        h = layer(h, w[f"{at}add_on_layers.{i}.weight"], w[f"{at}add_on_layers.{i}.bias"])
        h = h.sigmoid() if i else h.relu()
    tap(f"{at}add_on_layers", h.squeeze(2) if picture else h)
    v = w[f"{at}prototype_vectors"]
    if not picture:
        return F.normalize(h, dim=1, eps=1e-12) @ F.normalize(v, dim=1, eps=1e-12).T
    length = v.shape[-1]
    scale = {3: 13, 32: 4}[int(length)]
    windows = h.squeeze(2).unfold(2, length, 1)  # (n, 512, window, length)
    v = v.squeeze(2)
    lengths = (windows.square().sum((1, 3)) + 1e-4).sqrt()
    product = torch.einsum("bcwl,pcl->bpw", windows, v)
    own = (v.square().sum((1, 2)) + 1e-4).sqrt()
    a = tap(f"{at}similarity", scale * product / (lengths[:, None] * own[None, :, None]))
    if pool == "max":
        return a.amax(-1)
    if pool == "topk":
        return a.topk(min(5, a.shape[-1]), -1).values.mean(-1)
    return a.mean(-1)
