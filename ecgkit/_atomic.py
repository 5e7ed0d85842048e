"""Files that appear whole or not at all: written beside their place, synced, renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write(path: str | os.PathLike[str], fill: Callable[[Path], object]) -> None:
    """Let ``fill`` write a temporary file in the same folder, then put it at ``path``.

    After a crash at any moment ``path`` holds its old content or the new one. The temporary file is
    removed on failure.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        fill(part)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        part.replace(target)
        sync_folder(target.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Put ``data`` at ``path``, whole or not at all."""
    write(path, lambda part: part.write_bytes(data))


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make renames in ``folder`` durable (where the system lets folders be opened)."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
