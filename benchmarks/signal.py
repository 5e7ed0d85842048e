"""Signals: wavelets, filters, rates, correlation, beats, quality, pictures beside their peers.

python benchmarks/signal.py                 every row
python benchmarks/signal.py --only cwt      the rows whose name holds the word
ECGKIT_SIMD=avx2 python benchmarks/signal.py    with another instruction set

Accuracy of beats on annotated recordings and rates of quality flags are pages of their own:
benchmarks/rpeaks.py, benchmarks/delineate.py, benchmarks/quality.py.
"""

import sys

if __name__ == "signal":  # the folder of a script comes first on its path: be the real module
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    _spec = PathFinder.find_spec("signal", sys.path[1:])
    sys.modules["signal"] = module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["signal"])
else:
    sys.path.append(sys.path.pop(0))  # ... nor be found by those who want the real one
    import _signal_filter
    import _signal_wavelet
    import delineate
    import quality
    import rpeaks
    from _harness import bench, main

    import ecgkit as ek

    def pictures():
        rec = ek.synth.ecg()
        bench(
            "ECG paper, one page of 12 leads x 10 s as SVG",
            {"ours": lambda: ek.plot.paper_svg(rec)},
            check="no peer",
            work=(1, "pages"),
            note="1,000 pages a minute are 16.7 pages a second",
        )

        def as_png():
            import io

            file = io.BytesIO()
            rec.plot().savefig(file, format="png")
            return len(file.getvalue())

        bench(
            "ECG paper, one page of 12 leads x 10 s through matplotlib to PNG",
            {"ours": as_png},
            check="no peer",
            threads=(1,),
            work=(1, "pages"),
        )

    def run():
        _signal_wavelet.full_transform()
        _signal_wavelet.stacked()
        _signal_wavelet.holter()
        _signal_filter.medians()
        _signal_filter.filters()
        _signal_filter.resampling()
        _signal_filter.correlation()
        _signal_filter.contract()
        rpeaks.speed()
        delineate.speed()
        quality.speed()
        pictures()

    if __name__ == "__main__":
        main(run)
