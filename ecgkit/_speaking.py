"""Errors that name the function the user called, where it is not the one that found them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def speaking_as(name: str, *inner: str) -> Iterator[None]:
    """Let the messages of the functions ``inner`` begin with ``name``."""
    try:
        yield
    except (TypeError, ValueError) as error:
        who, colon, text = str(error).partition(":")
        if colon and who in inner:
            raise type(error)(f"{name}:{text}") from None
        raise
