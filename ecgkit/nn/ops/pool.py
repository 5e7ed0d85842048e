"""Pools: maxima and means over windows."""

from collections.abc import Sequence

from .._builder import Builder
from .._call import function
from .._compile import Planner
from .._graph import Tensor, lengths, outputs, paddings, spatial
from .._op import LANES, NO_BORDER, Form, Read, Step, op, picture

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "max_pool1d",
    "max_pool2d",
]


class Pool(Builder):
    def _pool(
        self, kind, rank, x, size, stride, padding, dilation, ceil_mode, count_pad, name
    ) -> Tensor:
        name, where, node = self._begin(f"{kind}_pool{rank}d", name, x)
        _, _, n = spatial(where, node.shape, rank)
        kernel = lengths(where, "kernel_size", size, rank, 1)
        stride = kernel if stride is None else lengths(where, "stride", stride, rank, 1)
        dilation = lengths(where, "dilation", dilation, rank, 1)
        pads = paddings(where, padding, rank, kernel, stride, dilation, n)
        if any(2 * a > k or 2 * b > k + 1 for (a, b), k in zip(pads, kernel)):
            raise ValueError(f"{where}: padding {pads} is more than half the kernel {kernel}")
        out = outputs(where, n, kernel, stride, dilation, pads, ceil_mode)
        attrs = {
            "kind": kind,
            "kernel": kernel,
            "stride": stride,
            "dilation": dilation,
            "pads": pads,
            "count_pad": bool(count_pad),
        }
        return self._add("pool", (x,), (*node.shape[:-rank], *out), name, rank, attrs)

    def _adaptive(self, kind, rank, x, output_size, name) -> Tensor:
        name, where, node = self._begin(f"adaptive_{kind}_pool{rank}d", name, x)
        _, _, size = spatial(where, node.shape, rank)
        if rank > 1 and isinstance(output_size, Sequence):  # None: as long as the input
            output_size = tuple(n if o is None else o for n, o in zip(size, output_size))
        out = lengths(where, "output_size", output_size, rank, 1)
        shape = (*node.shape[:-rank], *out)
        return self._add("pool", (x,), shape, name, rank, {"kind": f"adaptive {kind}"})

    def max_pool1d(
        self,
        x: Tensor,
        kernel_size,
        stride=None,
        padding=0,
        dilation=1,
        ceil_mode=False,
        *,
        name=None,
    ) -> Tensor:
        """Largest value per window of time: x (..., c, time). NaN wins; padding never does."""
        return self._pool(
            "max", 1, x, kernel_size, stride, padding, dilation, ceil_mode, False, name
        )

    def max_pool2d(
        self,
        x: Tensor,
        kernel_size,
        stride=None,
        padding=0,
        dilation=1,
        ceil_mode=False,
        *,
        name=None,
    ) -> Tensor:
        """Largest value per window: x (..., c, h, w). NaN wins; padding never does."""
        return self._pool(
            "max", 2, x, kernel_size, stride, padding, dilation, ceil_mode, False, name
        )

    def avg_pool1d(
        self,
        x: Tensor,
        kernel_size,
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
        *,
        name=None,
    ) -> Tensor:
        """Mean per window of time: x (..., c, time)."""
        return self._pool(
            "avg", 1, x, kernel_size, stride, padding, 1, ceil_mode, count_include_pad, name
        )

    def avg_pool2d(
        self,
        x: Tensor,
        kernel_size,
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
        *,
        name=None,
    ) -> Tensor:
        """Mean per window: x (..., c, h, w)."""
        return self._pool(
            "avg", 2, x, kernel_size, stride, padding, 1, ceil_mode, count_include_pad, name
        )

    def adaptive_avg_pool1d(self, x: Tensor, output_size, *, name=None) -> Tensor:
        """Mean over ``output_size`` nearly equal stretches of time: x (..., c, time)."""
        return self._adaptive("avg", 1, x, output_size, name)

    def adaptive_avg_pool2d(self, x: Tensor, output_size, *, name=None) -> Tensor:
        """Mean over a grid of nearly equal windows: x (..., c, h, w)."""
        return self._adaptive("avg", 2, x, output_size, name)

    def adaptive_max_pool1d(self, x: Tensor, output_size, *, name=None) -> Tensor:
        """Maximum over ``output_size`` nearly equal stretches of time: x (..., c, time)."""
        return self._adaptive("max", 1, x, output_size, name)

    def adaptive_max_pool2d(self, x: Tensor, output_size, *, name=None) -> Tensor:
        """Maximum over a grid of nearly equal windows: x (..., c, h, w)."""
        return self._adaptive("max", 2, x, output_size, name)


def _forms(plan: Planner, step: Step) -> tuple[list[Read], Form]:
    n = step.node
    read = picture(plan.nodes[n.inputs[0]].shape, n.rank, LANES)
    return [(step.inputs[0], read, NO_BORDER)], picture(n.shape, n.rank, LANES)


def adaptive(kind: str) -> tuple[int, ...]:
    """The numbers of an adaptive pool in C: the whole picture, or a grid over it."""
    return (2 if kind == "avg" else 3, *(1,) * 6, 0, 0, 0, 0, 0)


@op("pool", forms=_forms)
def _pool(plan: Planner, step: Step) -> None:
    a = step.node.attrs
    kind = a["kind"]
    if kind.startswith("adaptive"):
        ints = adaptive(kind.split()[1])
    else:
        more = 2 - step.node.rank  # a signal is a picture of one row
        windows = [n for k in ("kernel", "stride", "dilation") for n in (*(1,) * more, *a[k])]
        (top, bottom), (left, right) = [(0, 0)] * more + list(a["pads"])
        ints = (int(kind == "avg"), *windows, top, left, bottom, right, int(a["count_pad"]))
    bufs = [*plan.sources(step), plan.target(step)]
    plan.emit(step, "pool", bufs, ints, what=f"{kind} windows")


max_pool1d = function(Pool.max_pool1d, axes=2)
max_pool2d = function(Pool.max_pool2d, axes=3)
avg_pool1d = function(Pool.avg_pool1d, axes=2)
avg_pool2d = function(Pool.avg_pool2d, axes=3)
adaptive_avg_pool1d = function(Pool.adaptive_avg_pool1d, axes=2)
adaptive_avg_pool2d = function(Pool.adaptive_avg_pool2d, axes=3)
adaptive_max_pool1d = function(Pool.adaptive_max_pool1d, axes=2)
adaptive_max_pool2d = function(Pool.adaptive_max_pool2d, axes=3)
