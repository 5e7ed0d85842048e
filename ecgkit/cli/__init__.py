"""The command line ``ecgkit``: one line per error, exit codes 0, 1 (failed) and 2 (wrong usage)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .._extras import need
from ..errors import EcgkitError

__all__ = ["main"]

OK, FAILED, USAGE = 0, 1, 2


def main(args: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    args : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        0 done, 1 failed or interrupted, 2 wrong usage.
    """
    args = sys.argv[1:] if args is None else list(args)
    try:
        click = need("click", "cli", "the command line")
        need("rich", "cli", "the command line")
    except EcgkitError as error:
        return _say(str(error))
    from . import _bench, _lora, _many, _record  # noqa: F401 (each adds its verbs)
    from ._app import app

    try:
        code = app.main(args, prog_name="ecgkit", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else OK
    except click.UsageError as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted")
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain about that at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if "--debug" in args:
            raise
        return _say(_line(error))


def _line(error: Exception) -> str:
    """An error as one line."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error)
        if not isinstance(error, (EcgkitError, OSError, ValueError)):
            text = f"{type(error).__name__}: {text} (--debug shows where)"
    return text


def _say(text: str) -> int:
    line = "".join(c if c.isprintable() else " " for c in text)
    print("ecgkit:", " ".join(line.split()), file=sys.stderr)
    return FAILED
