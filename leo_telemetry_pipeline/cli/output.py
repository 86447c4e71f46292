"""Standard output and error of every command: characters that a terminal lacks, a full disk, a reader that is gone.

Belongs here: the two streams. Does not: what is written to them (text, and each command).
"""

import codecs
import errno
import io
import os
import sys
from typing import TextIO

from leo_telemetry_pipeline.errors import UserError

# What we print beyond ASCII ourselves; names of other people get a question mark for each letter that is missing.
_PLAIN = {"…": "...", "×": "x", "–": "-", "═": "=", **dict(zip("▁▂▃▄▅▆▇█", "12345678", strict=True))}
_ERRORS = "leo-telemetry-plain"


class Unwritable(UserError):
    """Standard output takes nothing more; without a message where its reader has seen enough."""


class _Stream(io.FileIO):
    """A standard stream; where it is ``lossy``, what cannot be written is nobody's to read."""

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
                f"Standard output cannot be written ({error.strerror}): make room, or write it to another place", 1
            ) from None


def prepare() -> None:
    """Replace both streams, so that no command ends in a traceback over what it prints."""
    codecs.register_error(_ERRORS, _substitute)
    closed = _occupy()
    out = os.open(os.devnull, os.O_RDONLY) if 1 in closed else 1
    sys.stdout = _text(sys.stdout, out, lossy=False)
    sys.stderr = _text(sys.stderr, 2, lossy=True)


def give_up() -> None:
    """Throw away what is still to be written: Python would complain when it closes the stream."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())


def takes_all(stream: TextIO) -> bool:
    """Tell whether a stream can show every character."""
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
    """Open nothing where the caller closed a standard stream: a file of ours would get its number; return those."""
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
