"""Opening files that are not to be trusted: regular, of a checked size, inside their folder."""

from __future__ import annotations

import errno
import os
import stat

from ..errors import FormatError

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


def _checked(fd: int, shown: str) -> int:
    """The size of a regular file; anything else (a pipe, a folder) is refused and closed."""
    facts = os.fstat(fd)
    if stat.S_ISREG(facts.st_mode):
        return facts.st_size
    os.close(fd)
    if stat.S_ISDIR(facts.st_mode):
        raise FormatError(f"{shown} is a folder; pass record= with the name of a WFDB record in it")
    raise FormatError(f"{shown} is not a regular file")


def read_bytes(path: str, limit: int) -> bytes:
    """A whole file of at most ``limit`` bytes."""
    fd = os.open(path, _FLAGS)
    size = _checked(fd, path)
    try:
        if size > limit:
            raise FormatError(
                f"{path} holds {size} bytes; at most {limit} are read for this format"
            )
        data = os.read(fd, size)
        while len(data) < size:
            more = os.read(fd, size - len(data))
            if not more:
                raise FormatError(f"{path} became shorter while it was read")
            data += more
        return data
    finally:
        os.close(fd)


def read_head(path: str, size: int) -> tuple[bytes, int]:
    """The first ``size`` bytes and the length of the file."""
    fd = os.open(path, _FLAGS)
    total = _checked(fd, path)
    try:
        return os.read(fd, size), total
    finally:
        os.close(fd)


def open_beside(folder: str, name: str, owner: str) -> tuple[int, int]:
    """Open the file ``name`` that ``owner`` (a header in ``folder``) names; descriptor and size.

    ``name`` is one path component (the header parser lets nothing else through). A symbolic link
    is followed only if it stays in the folder.

    Raises
    ------
    FormatError
        The file is absent, leaves the folder or is not a regular file.
    """
    path = os.path.join(folder, name)
    try:
        fd = os.open(path, _FLAGS | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise FormatError(f"{owner} names the file {name!r}, which is not beside it") from None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        real, home = os.path.realpath(path), os.path.realpath(folder)
        if os.path.commonpath([real, home]) != home:
            raise FormatError(
                f"{owner} names the file {name!r}, a symbolic link that leaves the folder; "
                "read the header from the folder where both files really are"
            ) from None
        try:
            fd = os.open(real, _FLAGS | os.O_NOFOLLOW)
        except OSError as broken:
            raise FormatError(
                f"{owner} names the file {name!r}, a broken link ({broken.strerror})"
            ) from None
    return fd, _checked(fd, path)
