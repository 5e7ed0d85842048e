"""Preprocessing of the models that look at pictures, as data: what they take, how it is resized and
scaled, and what is refused.

Decoding and resizing are Pillow's, which the published processors call too: its filters average
over all pixels that one target pixel covers, so a page of two thousand pixels keeps its lines at
224.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from os import PathLike, fspath
from typing import Any, Self

import numpy as np

from .. import _html
from .._extras import need
from .._typing import Array
from ..errors import ContractError, FormatError, LayoutError
from ..record import Record
from ._contract import AsJson, Notes
from ._steps import Step

RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
"""Pillow's filters, by the number that the published configurations use."""

MODES = {"RGB": 3, "L": 1}
MAX_PIXELS = 50_000_000
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_PAGE: dict[str, Any] = {"layout": "3x4"}


@dataclass(frozen=True)
class ImageContract(AsJson):
    """What a model of pictures demands of its input, applied and enforced by :meth:`prepare`.

    Attributes
    ----------
    size : tuple of int
        Height and width that the network sees.
    resample : str
        Pillow's filter: ``"bilinear"``, ``"bicubic"``, ``"lanczos"``, ``"box"``, ``"hamming"``,
        ``"nearest"``.
    mean, std : tuple of float
        Per channel, of values in 0..1. Of a grey picture with three of them, every channel is the
        grey value.
    mode : str
        ``"RGB"``, or ``"L"``: made grey before resizing (ITU-R 601, as Pillow does it).
    crop : bool
        ``False``: both sides are resized to ``size``, whatever the picture's proportions. ``True``:
        the shorter side is, and the middle is cut out.
    enhance : Step or None
        On the resized pictures, (n, height, width, channel) uint8, before scaling.
    page : tuple of (str, value)
        How a :class:`ecgkit.Record` becomes a picture: options of
        :func:`ecgkit.plot.page_image`. A mapping is taken too.
    """

    size: tuple[int, int] = (224, 224)
    resample: str = "bilinear"
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    mode: str = "RGB"
    crop: bool = False
    enhance: Step | None = None
    page: tuple[tuple[str, Any], ...] = tuple(_PAGE.items())

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "size", tuple(int(side) for side in self.size))
        put(self, "mean", tuple(float(v) for v in self.mean))
        put(self, "std", tuple(float(v) for v in self.std))
        put(self, "page", tuple(dict(self.page).items()))
        if len(self.size) != 2 or min(self.size) < 1:
            raise ContractError(f"size must be height and width in pixels, got {self.size}")
        if self.resample not in RESAMPLE:
            raise ContractError(
                f"resample must be one of {', '.join(RESAMPLE)}; got {self.resample!r}"
            )
        if self.mode not in MODES:
            raise ContractError(f"mode must be one of {', '.join(MODES)}; got {self.mode!r}")
        if len(self.mean) != len(self.std) or len(self.mean) not in {MODES[self.mode], 3}:
            raise ContractError(
                f"mean and std must hold one value per channel, got {len(self.mean)} and "
                f"{len(self.std)} for {self.mode}"
            )
        if not all(v > 0 for v in self.std):
            raise ContractError(f"std must be positive, got {self.std}")

    # ---------------------------------------------------------------- as data
    @property
    def features(self) -> Step | None:
        """None: the network eats the picture itself."""
        return None

    @property
    def steps(self) -> tuple[Step, ...]:
        """Steps between resizing and scaling."""
        return () if self.enhance is None else (self.enhance,)

    @property
    def summary(self) -> str:
        """The input in a few words."""
        high, wide = self.size
        grey = "" if self.mode == "RGB" else ", made grey"
        return f"RGB picture (array, file or Record drawn as a page), seen at {high} x {wide}{grey}"

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; inverse of :meth:`from_dict`."""
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("size", "mean", "std"):
            data[name] = list(data[name])
        data["enhance"] = None if self.enhance is None else self.enhance.to_dict()
        data["page"] = dict(self.page)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """A contract from :meth:`to_dict`'s mapping."""
        try:
            given = dict(data)
            step = given.pop("enhance", None)
            return cls(enhance=None if step is None else Step.from_dict(step), **given)
        except (TypeError, KeyError, AttributeError) as error:
            raise ContractError(
                f"not a preprocessing contract ({type(error).__name__}: {error})"
            ) from None

    # ---------------------------------------------------------------- applied
    def prepare(
        self, x: Any, fs: float | None = None, *, unit: str = "mV"
    ) -> tuple[Array, tuple[Notes, ...]]:
        """What the network eats, and what had to be done to each picture to get there.

        Parameters
        ----------
        x : array, PIL image, path, Record, or sequence of those
            uint8 array (height, width, 3) or (n, height, width, 3); a PNG or JPEG file; a record,
            which is drawn as a page first.
        fs, unit
            Not for pictures; a record brings its own.

        Returns
        -------
        prepared : ndarray, float32, shape (n, channel, height, width)
        notes : tuple of tuple of str, one per picture

        Raises
        ------
        ContractError, LayoutError, FormatError
            The input breaks the contract; the message shows the fix.
        """
        pictures, notes = self.admit(x, fs, unit=unit)
        return self.transform(pictures), notes

    def admit(
        self, x: Any, fs: float | None = None, *, unit: str = "mV", first: int = 0
    ) -> tuple[Array, tuple[Notes, ...]]:
        """First half of :meth:`prepare`: pictures at the size that the network sees, (n, height,
        width, channel) uint8.

        ``first`` is what errors add to a picture's place in ``x``.
        """
        if fs is not None and not isinstance(x, Record):
            raise ContractError(
                f"fs={fs!r} is a rate, and this model takes pictures: leave fs out, or wrap "
                "signals, ek.Record(x, fs=..., leads=[...]), to have them drawn as a page"
            )
        if self.is_single(x):
            rows = [self._picture(x, "")]
        elif self.is_list(x):
            rows = [self._picture(item, f"picture {i}: ") for i, item in enumerate(x, first)]
        else:
            array = _checked(x)
            rows = [self._resized(_image(item), "", ()) for item in array]
        if not rows:
            return np.zeros((0, *self.size, MODES[self.mode]), np.uint8), ()
        return np.stack([picture for picture, _ in rows]), tuple(said for _, said in rows)

    def transform(self, pictures: Array) -> Array:
        """Second half of :meth:`prepare`: enhancement and scaling, to (n, channel, height, width)
        float32."""
        if self.enhance is not None:
            pictures = self.enhance(pictures, 0.0)
        n, high, wide, channels = pictures.shape
        out = np.empty((n, len(self.mean), high, wide), np.float32)
        for c, table in enumerate(_tables(self.mean, self.std)):
            np.take(table, pictures[..., c if channels > 1 else 0], out=out[:, c])
        return out

    def open(self, path: str | PathLike) -> Any:
        """What a file holds: the path of a PNG or JPEG as it is, a record from any other file."""
        with open(path, "rb") as file:
            head = file.read(8)
        if head.startswith(_MAGIC):
            return path
        from .. import io

        return io.read(path)

    @staticmethod
    def is_single(x: Any) -> bool:
        """One picture, not a batch."""
        if isinstance(x, (Record, str, PathLike)) or _is_pil(x):
            return True
        return not isinstance(x, Sequence) and np.ndim(x) == 3

    @staticmethod
    def is_list(x: Any) -> bool:
        """A list or tuple of pictures, each checked by itself."""
        return isinstance(x, Sequence) and not isinstance(x, (str, bytes))

    # --------------------------------------------------------------- enforced
    def _picture(self, x: Any, who: str) -> tuple[Array, Notes]:
        if isinstance(x, Record):
            from .. import plot

            options = dict(self.page)
            said = (f"drawn as a page ({', '.join(f'{k} {v}' for k, v in options.items())})",)
            return self._resized(_image(plot.page_image(x, **options)), who, said)
        if isinstance(x, (str, PathLike)):
            return self._resized(*_decoded(fspath(x), who))
        if _is_pil(x):
            return self._resized(*_upright(x, who))
        array = _checked(x, who)
        if array.ndim != 3:
            raise LayoutError(f"{who}expected one picture (height, width, 3), got {array.shape}")
        return self._resized(_image(array), who, ())

    def _resized(self, image: Any, who: str, notes: Notes) -> tuple[Array, Notes]:
        high, wide = self.size
        if image.mode != self.mode:
            image = image.convert(self.mode)
        if self.crop:
            if image.height * wide <= image.width * high:
                whole = (int(high * image.width / image.height), high)
            else:
                whole = (wide, int(wide * image.height / image.width))
            image = image.resize(whole, RESAMPLE[self.resample])
            left, top = (whole[0] - wide) // 2, (whole[1] - high) // 2
            image = image.crop((left, top, left + wide, top + high))
        else:
            image = image.resize((wide, high), RESAMPLE[self.resample])
        return np.asarray(image).reshape(high, wide, MODES[self.mode]), notes

    # ------------------------------------------------------------------ shown
    def _rows(self) -> list[tuple[str, str]]:
        high, wide = self.size
        how = "shorter side, middle cut out" if self.crop else "proportions not kept"
        rows = [
            ("picture", "RGB uint8 (height, width, 3), PIL image, PNG or JPEG file"),
            ("record", "drawn as a page: " + ", ".join(f"{k}={v!r}" for k, v in self.page)),
            ("resize", f"{high} x {wide}, {self.resample} as Pillow does it, {how}"),
        ]
        if self.mode == "L":
            rows.insert(2, ("colour", "made grey before resizing"))
        if self.enhance is not None:
            rows.append(("enhance", repr(self.enhance)))
        scale = "(value / 255 - mean) / std"
        return [*rows, ("scale", f"{scale}, mean {self.mean}, std {self.std}")]

    def __repr__(self) -> str:
        return "ImageContract\n" + "\n".join(f"  {name:<11}{text}" for name, text in self._rows())

    def _repr_html_(self) -> str:
        return _html.table(["contract", ""], self._rows())


@lru_cache(maxsize=32)
def _tables(mean: tuple[float, ...], std: tuple[float, ...]) -> Array:
    """What each of the 256 values becomes, per channel; rounded where the published processors
    round: after the division by 255, and in float32 from there on."""
    unit = (np.arange(256) * (1 / 255)).astype(np.float32)
    centred = unit - np.array(mean, np.float32)[:, None]
    tables = centred / np.array(std, np.float32)[:, None]
    tables.flags.writeable = False
    return tables


def _pil() -> Any:
    return need("PIL.Image", "plot", "a model that takes pictures")


def _is_pil(x: Any) -> bool:
    return hasattr(x, "convert") and hasattr(x, "getexif")


def _image(array: Array) -> Any:
    return _pil().fromarray(np.ascontiguousarray(array))


def _checked(x: Any, who: str = "") -> Array:
    """An array of pictures, or the error that says what it is instead."""
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise LayoutError(f"{who}not an array of pictures: {error}") from None
    if array.dtype != np.uint8:
        raise LayoutError(
            f"{who}a picture must be uint8 with values 0..255, got {type(x).__name__} of dtype "
            f"{array.dtype}; a picture in 0..1 is (x * 255).round().astype('uint8'), signals are "
            "ek.Record(x, fs=..., leads=[...])"
        )
    if array.ndim not in (3, 4) or array.shape[-1] != 3:
        if array.ndim in (2, 3) and array.shape[-1] != 3 and array.shape[:1] != (3,):
            fix = "a grey picture is np.repeat(x[..., None], 3, axis=-1)"
        else:
            fix = "channels stand last: np.moveaxis(x, -3, -1)"
        raise LayoutError(
            f"{who}a picture must have shape (height, width, 3) or (n, height, width, 3), got "
            f"{array.shape}; {fix}"
        )
    if 0 in array.shape[-3:]:
        raise LayoutError(f"{who}the picture is empty: shape {array.shape}")
    return array


def _decoded(path: str, who: str) -> tuple[Any, str, Notes]:
    image_module = _pil()
    try:
        image = image_module.open(path, formats=("PNG", "JPEG"))
    except FileNotFoundError:
        raise
    except Exception as error:
        raise FormatError(f"{who}{path}: not a PNG or JPEG picture ({error})") from None
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise FormatError(
                f"{who}{path}: {image.width} x {image.height} pixels, more than the "
                f"{MAX_PIXELS:,} that are decoded; make it smaller first"
            )
        try:
            image.load()
        except Exception as error:
            raise FormatError(f"{who}{path}: the picture is damaged ({error})") from None
        return _upright(image, who)


def _upright(image: Any, who: str) -> tuple[Any, str, Notes]:
    """A PIL image as opaque RGB, turned as its camera says."""
    notes = []
    if image.mode.startswith(("I", "F")):
        raise LayoutError(
            f"{who}the picture has {image.mode} pixels, more than 8 bits each; scale it to 0..255 "
            "yourself, no range is guessed"
        )
    turned = need("PIL.ImageOps", "plot", "a model that takes pictures").exif_transpose(image)
    if image.getexif().get(0x0112, 1) != 1:
        notes.append("turned as the camera's orientation says")
    if turned.has_transparency_data:
        turned = turned.convert("RGBA")
        if turned.getextrema()[3][0] < 255:
            notes.append("transparent parts laid on white")
        white = _pil().new("RGBA", turned.size, (255, 255, 255, 255))
        turned = _pil().alpha_composite(white, turned)
    return turned.convert("RGB"), who, tuple(notes)
