"""Standard output and error of all commands: unencodable characters, a full disk, a closed pipe.

Belongs here: the two streams. Does not: what is written to them (text, and each command).
"""

import codecs
import errno
import io
import os
import sys
from typing import TextIO

from leo_telemetry_pipeline.errors import UserError

# Replacements for the non-ASCII characters that we print; others become a question mark.
_PLAIN = {"…": "...", "×": "x", "–": "-", "═": "=", **dict(zip("▁▂▃▄▅▆▇█", "12345678", strict=True))}
_ERRORS = "leo-telemetry-plain"


class Unwritable(UserError):
    """Standard output cannot be written; the message is empty where the reader closed the pipe."""


class _Stream(io.FileIO):
    """Standard stream; a ``lossy`` one silently discards what cannot be written."""

    def __init__(self, descriptor: int, *, lossy: bool) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._lossy = lossy

    def write(self, data, /) -> int | None:
        """Write bytes. Raises Unwritable."""
        try:
            return super().write(data)
        except OSError as error:
            if self._lossy:
                return len(data)
            if error.errno == errno.EPIPE:
                raise Unwritable("", 0) from None
            raise Unwritable(
                f"Standard output cannot be written ({error.strerror}): make room, or redirect it elsewhere", 1
            ) from None


def prepare() -> None:
    """Replace both streams, so that no write to them ends in a traceback."""
    codecs.register_error(_ERRORS, _substitute)
    closed = _occupy()
    out = os.open(os.devnull, os.O_RDONLY) if 1 in closed else 1
    sys.stdout = _text(sys.stdout, out, lossy=False)
    sys.stderr = _text(sys.stderr, 2, lossy=True)


def give_up() -> None:
    """Discard buffered output, since Python would otherwise report an error when it closes the stream."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())


def takes_all(stream: TextIO) -> bool:
    """Return whether a stream can encode every character."""
    return codecs.lookup(stream.encoding or "ascii").name.startswith("utf")


def _text(before: TextIO | None, descriptor: int, *, lossy: bool) -> TextIO:
    raw = _Stream(descriptor, lossy=lossy)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before is not None else "utf-8",
        errors=_ERRORS,
        line_buffering=lossy or raw.isatty(),
        write_through=lossy,
    )


def _occupy() -> set[int]:
    """Occupy descriptors 0 to 2 that the caller closed, so that no file of ours gets their numbers; return them."""
    opened = set()
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        opened.add(descriptor)
    os.close(descriptor)
    return opened


def _substitute(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter, "?") for letter in missing), error.end
