"""ECG pages as pictures: drawn, and prepared for a vision transformer.

python benchmarks/picture.py
"""

import numpy as np
from _harness import bench, main, peer

import ecgkit as ek

DPI = 150


def matplotlib_page(rec, layout):
    """The same geometry drawn by matplotlib's Agg."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = ek.plot.paper_figure(rec, layout)
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def same_page(ours, theirs):
    """Mean difference of the pixels both have, of 255."""
    high, wide = (min(a, b) for a, b in zip(ours.shape[:2], theirs.shape[:2]))
    off = np.abs(ours[:high, :wide].astype(int) - theirs[:high, :wide]).mean()
    assert off < 12, f"the pages differ by {off:.1f} levels"
    return float(off)


def run():
    rec = ek.synth.ecg()
    for layout in ("3x4", "12x1"):
        bench(
            f"page {layout}, 10 s at 500 Hz, {DPI} dpi",
            {
                "ours": lambda layout=layout: ek.plot.page_image(rec, layout, dpi=DPI),
                "matplotlib": peer(
                    "matplotlib", lambda _, at=layout: lambda: matplotlib_page(rec, at)
                ),
            },
            check=same_page,
            work=(1, "pages"),
            bar=10.0,
            note="agreement: mean difference in levels of 255; letters and grid lines fall "
            "otherwise on the pixels.",
        )
    m = ek.load_model("image_vit", weights="random", network="vit_tiny")
    bench(
        "record to prepared picture, 224 x 224",
        {"ours": lambda: m.preprocess(rec)},
        check="no peer goes from a record to a prepared picture",
        work=(1, "records"),
    )


if __name__ == "__main__":
    main(run)
