"""Metrics, prototypes and adapter merges beside scikit-learn, SciPy, torchmetrics and PEFT.

The peers run on the arrays they are made for; a published loop that has no package is written out
here. `_rows_lora.py` and `_rows_proto.py` hold the rows of their subjects.
"""

import importlib

import numpy as np
from _harness import Absent, bench, main, peer

import ecgkit as ek
from ecgkit import metrics

N, C = 2158, 71  # PTB-XL's test fold, all statements


def labelled(n=N, c=C, ties=10):
    """Labels of the benchmark's prevalences, float32 scores, some of them tied."""
    rng = np.random.default_rng(0)
    y = (rng.random((n, c)) < rng.beta(0.5, 8, c)).astype(np.uint8)
    y[:3], y[3:6] = 1, 0
    p = 1 / (1 + np.exp(-(rng.normal(size=(n, c)) + 2 * y - 1)))
    p[:, :ties] = np.round(p[:, :ties], 2)
    return y, p.astype(np.float32)


def plain_c(call):
    """The same call on the scalar C reference."""

    def run():
        before = ek.simd.use("ref")
        try:
            return call()
        finally:
            ek.simd.use(before)

    return run


def torchmetrics():
    """The classification functions of torchmetrics, or why they are absent.

    A torchvision that was built for another torch stops torchmetrics and PEFT from importing; none
    of its compiled ops is called here, so their names are declared first.
    """
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        return Absent(f"not installed ({error})")
    if not hasattr(torch.ops.torchvision, "nms"):
        library = torch.library.Library("torchvision", "FRAGMENT")
        for op in ("nms", "qnms"):
            library.define(f"{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torchmetrics.library = library  # it must outlive the imports
    try:
        return importlib.import_module("torchmetrics.functional.classification")
    except ImportError as error:
        return Absent(f"not installed ({error})")


def torchmetric(name, y, p, **options):
    """A functional figure of torchmetrics on double tensors, or why it is absent."""
    functional = torchmetrics()
    if isinstance(functional, Absent):
        return functional
    import torch

    s, t = torch.from_numpy(p.astype(np.float64)), torch.from_numpy(y.astype(np.int64))
    figure = getattr(functional, name)
    return lambda: float(figure(s, t, validate_args=False, **options))


def classification():
    y, p = labelled()
    _, q = labelled(ties=0)  # torchmetrics ranks labels by argsort, which breaks ties at random
    p64 = p.astype(np.float64)
    called = metrics.binarize(p)
    sk = "sklearn.metrics"
    per_label = {"num_labels": C}
    rows = [
        ("macro AUROC", lambda: metrics.auroc(y, p),
         peer(sk, lambda m: lambda: m.metrics.roc_auc_score(y, p)),
         torchmetric("multilabel_auroc", y, p, thresholds=None, **per_label)),
        ("macro average precision", lambda: metrics.average_precision(y, p),
         peer(sk, lambda m: lambda: m.metrics.average_precision_score(y, p)),
         torchmetric("multilabel_average_precision", y, p, thresholds=None, **per_label)),
        ("F1, macro", lambda: metrics.f_beta(y, called),
         peer(sk, lambda m: lambda: m.metrics.f1_score(
             y, called, average="macro", zero_division=0)),
         torchmetric("multilabel_f1_score", y, called, **per_label)),
        ("F2, macro", lambda: metrics.f_beta(y, called, beta=2),
         peer(sk, lambda m: lambda: m.metrics.fbeta_score(
             y, called, beta=2, average="macro", zero_division=0)),
         torchmetric("multilabel_fbeta_score", y, called, beta=2.0, **per_label)),
        ("ranking loss", lambda: metrics.ranking_loss(y, q),
         peer(sk, lambda m: lambda: m.metrics.label_ranking_loss(y, q)),
         torchmetric("multilabel_ranking_loss", y, q, **per_label)),
        ("coverage error", lambda: metrics.coverage_error(y, q),
         peer(sk, lambda m: lambda: m.metrics.coverage_error(y, q)),
         torchmetric("multilabel_coverage_error", y, q, **per_label)),
        ("Brier, macro", lambda: metrics.brier(y, p64),
         peer(sk, lambda m: lambda: np.mean(
             [m.metrics.brier_score_loss(y[:, k], p64[:, k]) for k in range(C)])), None),
    ]  # fmt: skip
    for name, ours, theirs, torch in rows:
        cases = {"ours": ours, "scikit-learn": theirs}
        bars = {"scikit-learn": 10.0}
        if torch is not None:
            cases["torchmetrics"] = torch
            bars["torchmetrics"] = 10.0
        exact = {"scikit-learn": 1e-12, "torchmetrics": 1e-6}
        bench(
            f"{name}, {N} x {C}", cases, check=closeness(exact), bar=bars,
            note="scores with ties; scikit-learn equal to 1e-12, torchmetrics sums in float32",
        )  # fmt: skip
    bench(
        f"ECE, 15 bins, macro, {N} x {C}",
        {
            "ours": lambda: metrics.ece(y, p64, bins=15),
            "torchmetrics, label by label": torch_ece(y, p64),
        },
        check=1e-6,
        bar=10.0,
    )
    grid = np.arange(101) / 100
    for kind, loop in (("sample", fmax_per_sample), ("label", fmax_per_label)):
        y1 = y.copy()
        y1[y1.sum(1) == 0, 0] = 1
        bench(
            f"Fmax per {kind}, 101 thresholds, {N} x {C}",
            {
                "ours": lambda kind=kind, y1=y1: metrics.fmax(y1, p, kind=kind),
                "NumPy, threshold by threshold": lambda f=loop, y1=y1: f(y1, p64, grid),
            },
            check=1e-12,
            bar=10.0,
        )
    weights = {"beta": 2, "per_label_weight": True}
    y1 = y.copy()
    y1[y1.sum(1) == 0, 0] = 1
    bench(
        f"G2 with label weights, {N} x {C}",
        {
            "ours": lambda: metrics.g_beta(y1, called, **weights),
            "NumPy": lambda: g_beta_numpy(y1, called),
        },
        check=1e-12,
        note="the published form is a Python double loop; NumPy's whole-array form is timed",
    )


def closeness(limits):
    """Agreement per peer, in the order of the cases."""
    names = iter(())

    def check(ours, theirs):
        nonlocal names
        error = abs(float(ours) - float(theirs))
        name = next(names, None)
        if name is None:
            names = iter(limits)
            name = next(names)
        if not error <= limits[name]:
            raise AssertionError(f"{name} differs by {error:.3g}, allowed {limits[name]:g}")
        return error

    return check


def torch_ece(y, p):
    functional = torchmetrics()
    if isinstance(functional, Absent):
        return functional
    import torch

    s, t = torch.from_numpy(p), torch.from_numpy(y.astype(np.int64))
    ece = functional.binary_calibration_error
    return lambda: float(
        np.mean([float(ece(s[:, k], t[:, k], n_bins=15, validate_args=False)) for k in range(C)])
    )


def fmax_per_sample(y, s, grid):
    best = 0.0
    for t in grid:
        called = s >= t
        hit, some = (called & (y == 1)).sum(1), called.sum(1)
        kept = some > 0
        if kept.any():
            precision, recall = (hit[kept] / some[kept]).mean(), (hit / y.sum(1)).mean()
            if precision + recall:
                best = max(best, 2 * precision * recall / (precision + recall))
    return best


def fmax_per_label(y, s, grid):
    best = np.zeros(y.shape[1])
    for t in grid:
        called = s >= t
        hit = (called & (y == 1)).sum(0)
        best = np.maximum(best, 2 * hit / np.maximum(called.sum(0) + y.sum(0), 1))
    return best.mean()


def g_beta_numpy(y, p):
    w = 1.0 / y.sum(1)
    y, p = y.astype(float), p.astype(float)
    hit, false, missed = w @ (y * p), w @ (p * (1 - y)), w @ (y * (1 - p))
    below = hit + false + 2 * missed
    return float(np.divide(hit, below, out=np.zeros(len(hit)), where=below > 0).mean())


def resampling():
    y, p = labelled()
    rng = np.random.default_rng(1)
    few = rng.integers(0, N, (2, N), dtype=np.int32)

    def sklearn_loop(m):
        def run():
            out = []
            for at in few:
                with np.errstate(all="ignore"):
                    kept = (y[at].sum(0) > 0) & (y[at].sum(0) < N)
                    out.append(m.metrics.roc_auc_score(y[at][:, kept], p[at][:, kept]))
            return np.array(out)

        return run

    for draws, bar in ((1000, 1000.0),):
        many = rng.integers(0, N, (draws, N), dtype=np.int32)
        many[:2] = few
        scale = draws / len(few)
        rows = bench(
            f"bootstrap of macro AUROC, {draws} resamples, {N} x {C}",
            {
                "ours": lambda many=many: metrics.bootstrap(y, p, indices=many).samples[:2],
                "scikit-learn, 2 of the resamples": peer("sklearn.metrics", sklearn_loop),
            },
            check=1e-12,
            bar=bar / scale,
            note=f"scikit-learn runs 2 of the {draws} resamples: multiply the ratio by {scale:g}; "
            f"the bar of {bar:g} is {bar / scale:g} here",
        )
        print(
            *(f"  whole loop, {r['threads']} threads: {k} "
              f"{v['median'] * scale:.0f}x" for r in rows for k, v in r["ratios"].items()),
            sep="\n",
        )  # fmt: skip
    groups = rng.integers(0, 1900, N)
    bench(
        "bootstrap of macro AUROC with drawing, 1000 resamples: plain",
        {
            "by patient": lambda: metrics.bootstrap(y, p, groups=groups).samples,
            "plain": lambda: metrics.bootstrap(y, p).samples,
            "stratified": lambda: metrics.bootstrap(y, p, strata=y[:, 0]).samples,
            "average precision": lambda: metrics.bootstrap(y, p, "average_precision").samples,
        },
        check="different resamples; each rule is tested against the loop",
    )
    common = y.sum(0) >= 20
    yc, pc = y[:, common], p[:, common]
    bench(
        "PTB-XL's protocol: 100 accepted draws, 90 % interval",
        {
            "ours": lambda: metrics.bootstrap_ptbxl(yc, pc).samples[:2],
            "scikit-learn, 2 draws": peer("sklearn.metrics", lambda m: ptbxl_loop(m, yc, pc)),
        },
        check=1e-12,
        note=f"{int(common.sum())} statements with 20 records or more; times of 2 of 100 draws for "
        "scikit-learn",
    )
    rng = np.random.default_rng(2)
    for n in (N, 50_000):
        truth = (rng.random(n) < 0.2).astype(np.uint8)
        one, two = rng.normal(size=(2, n)) + truth
        bench(
            f"DeLong, two models, {n} records",
            {
                "ours": lambda t=truth, a=one, b=two: metrics.delong(t, a, b).covariance,
                "published code (Sun and Xu's midranks)": lambda t=truth, a=one, b=two: (
                    delong_published(t, a, b)
                ),
            },
            check=1e-10,
            bar=20.0,
        )
    bench(
        f"DeLong, macro over {int(common.sum())} labels, {N} records",
        {
            "ours": lambda: np.diag(metrics.delong(yc, pc).covariance),
            "published code, label by label": lambda: np.array(
                [delong_published(yc[:, k], pc[:, k].astype(float)) for k in range(yc.shape[1])]
            ).ravel(),
        },
        check=1e-10,
        bar=20.0,
        note="ours has the joint covariance as well",
    )


def ptbxl_loop(m, y, p):
    def run():
        rng, out = np.random.RandomState(0), []
        while len(out) < 2:
            at = rng.randint(0, len(y), len(y))
            if (y[at].sum(0) > 0).all():
                out.append(m.metrics.roc_auc_score(y[at], p[at]))
        return np.array(out)

    return run


def midrank(x):
    """As published: a Python loop over the sorted values."""
    order = np.argsort(x)
    z, n = x[order], len(x)
    t, i = np.zeros(n), 0
    while i < n:
        j = i
        while j < n and z[j] == z[i]:
            j += 1
        t[i:j] = 0.5 * (i + j - 1)
        i = j
    out = np.empty(n)
    out[order] = t + 1
    return out


def delong_published(y, *scores):
    order = np.argsort(-y.astype(int), kind="stable")
    m = int(y.sum())
    s = np.array(scores)[:, order]
    n = s.shape[1] - m
    tx = np.array([midrank(r[:m]) for r in s])
    ty = np.array([midrank(r[m:]) for r in s])
    tz = np.array([midrank(r) for r in s])
    v01, v10 = (tz[:, :m] - tx) / n, 1.0 - (tz[:, m:] - ty) / m
    return np.atleast_2d(np.cov(v01) / m + np.cov(v10) / n)


def curves():
    rng = np.random.default_rng(0)
    p, q = np.cumsum(rng.normal(size=(2, 5000)), axis=1)
    for kind in (np.float32, np.float64):
        a, b = p.astype(kind), q.astype(kind)
        for mode in ("amplitude", "plane"):
            call = lambda a=a, b=b, mode=mode: metrics.frechet_curve(a, b, mode=mode)  # noqa: E731
            bench(
                f"curve Frechet, n = 5000, {mode}, {kind.__name__}",
                {"ours": call, "plain C": plain_c(call)},
                check=0.0,
                bar=5.0,
                work=(25.0, "Mcells"),
                note="equal to the last bit; plain C is the row recursion at -O3",
            )
    call = lambda: metrics.frechet_curve(p, q, band=250)  # noqa: E731
    bench("curve Frechet, n = 5000, band 250", {"ours": call, "plain C": plain_c(call)}, check=0.0)
    batch = rng.normal(size=(2, 64, 1000)).astype(np.float32).cumsum(-1)
    call = lambda: metrics.frechet_curve(*batch)  # noqa: E731
    bench(
        "curve Frechet, 64 pairs of 1000, float32",
        {"ours": call, "plain C": plain_c(call)},
        check=0.0,
        bar=5.0,
    )
    t = np.arange(1000.0)
    a, b = p[:1000], q[:1000]
    bench(
        "curve Frechet, n = 1000, plane, float64",
        {
            "ours": lambda: metrics.frechet_curve(a, b, mode="plane"),
            "similaritymeasures": peer(
                "similaritymeasures",
                lambda m: lambda: m.frechet_dist(np.c_[t, a], np.c_[t, b]),
            ),
        },
        check=1e-13,
        bar=500.0,
        note="the package needs 25 s and 400 MB at n = 5000; both are O(n^2)",
    )


def gaussian():
    import scipy.linalg

    rng = np.random.default_rng(0)

    def sample(n, d):
        return rng.normal(size=(n, d)) @ (rng.normal(size=(d, d)) / np.sqrt(d) + 0.5 * np.eye(d))

    def by_sqrtm(m1, s1, m2, s2):
        root = scipy.linalg.sqrtm(s1 @ s2).real
        return (m1 - m2) @ (m1 - m2) + np.trace(s1 + s2 - 2 * root)

    def by_cholesky(m1, s1, m2, s2):
        low = scipy.linalg.cholesky(s1, lower=True)
        w = scipy.linalg.eigvalsh(low.T @ s2 @ low)
        gap = m1 - m2
        return gap @ gap + np.trace(s1) + np.trace(s2) - 2 * np.sqrt(np.maximum(w, 0)).sum()

    for d in (512, 768, 2048):
        x, y = sample(3 * d, d), sample(3 * d, d) + 0.1
        four = (x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))
        cases = {
            "ours": lambda four=four: metrics.frechet_gaussian(*four).value,
            "SciPy sqrtm": lambda four=four: by_sqrtm(*four),
            "Cholesky + eigvalsh": lambda four=four: by_cholesky(*four),
        }
        bench(
            f"Gaussian Frechet, d = {d}",
            cases,
            check=relative(1e-9),
            bar={"SciPy sqrtm": 8.0},
            min_time=0.2,
        )
    for n, d in ((11, 2048), (500, 2048)):
        x, y = sample(n, d), sample(n, d)
        bench(
            f"Frechet of features, n = {n}, d = {d} (rank-deficient)",
            {
                "ours": lambda x=x, y=y: metrics.frechet_features(x, y).value,
                "SVD of the cross-Gram": lambda x=x, y=y: by_svd(x, y),
            },
            check=relative(1e-9),
            note="SciPy's sqrtm needs 10 to 28 s here and loses 1e-6 to 2e-5",
        )
    x, y = sample(5000, 512), sample(5000, 512)
    bench(
        "mean and covariance, 5000 x 512, then the distance",
        {
            "ours": lambda: metrics.frechet_features(x, y).value,
            "NumPy cov + sqrtm": lambda: by_sqrtm(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T)),
        },
        check=relative(1e-9),
        min_time=0.2,
    )
    a, b = sample(2000, 256), sample(2000, 256)
    bench(
        "KID, exact, 2000 x 256",
        {"ours": lambda: metrics.kid(a, b).value, "NumPy": lambda: kid_numpy(a, b)},
        check=1e-9,
    )


def relative(limit):
    def check(ours, theirs):
        error = abs(ours - theirs) / abs(theirs)
        if not error <= limit:
            raise AssertionError(f"differ by {error:.3g} relative, allowed {limit:g}")
        return error

    return check


def by_svd(x, y):
    a = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    b = (y - y.mean(0)) / np.sqrt(len(y) - 1)
    gap = x.mean(0) - y.mean(0)
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return gap @ gap + (a**2).sum() + (b**2).sum() - 2 * root


def kid_numpy(x, y):
    def k(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    n, m, xx, yy = len(x), len(y), k(x, x), k(y, y)
    own = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return own - 2 * k(x, y).mean()


def signals():
    rng = np.random.default_rng(0)
    for shape, kind in (((224, 224), np.uint8), ((512, 512), np.float64)):
        x = rng.integers(0, 256, shape).astype(np.float64)
        y = np.clip(x + rng.normal(0, 20, shape), 0, 255)
        x, y = x.astype(kind), y.astype(kind)
        bench(
            f"SSIM, {shape[0]} x {shape[1]} {kind.__name__}",
            {
                "ours": lambda x=x, y=y: metrics.ssim(x, y, data_range=255),
                "scikit-image": peer(
                    "skimage.metrics",
                    lambda m, x=x, y=y: (
                        lambda: m.metrics.structural_similarity(x, y, data_range=255)
                    ),
                ),
            },
            check=1e-11,
            bar=5.0,
        )
    x = rng.normal(size=(100, 12, 1000)).astype(np.float32)
    y = x + rng.normal(0, 0.1, x.shape).astype(np.float32)

    def prd_numpy():
        a, b = x.astype(np.float64), y.astype(np.float64)
        return 100 * np.sqrt(((a - b) ** 2).sum(-1) / (a**2).sum(-1))

    def correlation_numpy():
        a, b = x.astype(np.float64), y.astype(np.float64)
        a -= a.mean(-1, keepdims=True)
        b -= b.mean(-1, keepdims=True)
        return (a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1))

    def rmse_numpy():
        return np.sqrt(((x.astype(np.float64) - y) ** 2).mean(-1))

    for name, ours, theirs in (
        ("RMSE", metrics.rmse, rmse_numpy),
        ("PRD", metrics.prd, prd_numpy),
        ("correlation", metrics.correlation, correlation_numpy),
    ):
        bench(
            f"{name} per lead, 100 ECGs of 12 x 1000",
            {"ours": lambda f=ours: f(x, y), "NumPy in double": theirs},
            check=1e-12,
            bar=5.0,
        )


def phenotypes():
    if importlib.util.find_spec("_rows_phenotypes") is not None:
        importlib.import_module("_rows_phenotypes").run()


def others():
    """The rows of prototypes and adapters, from files of their own."""
    for name in ("_rows_proto", "_rows_lora"):
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name).run()


def run():
    classification()
    resampling()
    curves()
    gaussian()
    signals()
    phenotypes()
    others()


if __name__ == "__main__":
    main(run, limit=8.0)
