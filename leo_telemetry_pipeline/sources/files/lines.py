"""Line reader for files of any size, compressed or damaged.

Belongs here: reading in blocks, gzip, UTF-16, line ends, truncation. Does not: what a line means (reader).
"""

import codecs
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

MAX_LINE = 10_000_000
TOO_LONG = f"the line is longer than {MAX_LINE // 1_000_000} MB"
NOT_UTF8 = "the line is not UTF-8"
_BLOCK = 256 * 1024
_UNPACKED_BLOCK = 1024 * 1024
_GZIP = b"\x1f\x8b"
_GZIP_ONLY = 31  # zlib's wbits value that requires a gzip header
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# UTF-32 first, since its mark starts like that of UTF-16.
_WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FIRST = 4


class InputFile:
    """An open file: its decompressed blocks and lines, and the damage at its end, if any.

    ``damage`` is a reason, or None for a complete file; with damage, ``rest`` is the truncated line and ``line`` its
    number. ``on_bytes`` gets the number of bytes of the file consumed since its last call.
    """

    def __init__(self, file: BinaryIO, on_bytes: Callable[[int], object] | None = None) -> None:
        self.damage: str | None = None
        self.rest = b""
        self.line = 0
        self._file = file
        self._on_bytes = on_bytes

    def blocks(self) -> Iterator[bytes]:
        """Yield the content in blocks of at most 1 MiB, gzip decompressed, UTF-16 and UTF-32 as UTF-8."""
        # The file may be a pipe, which cannot be rewound.
        first = self._file.read(_BLOCK)
        blocks = self._unpacked(first) if first.startswith(_GZIP) else self._plain(first)
        return _narrow(blocks)

    def lines(self, blocks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
        """Yield number and content of each line, without line end and byte order mark.

        A line of more than MAX_LINE bytes is cut to MAX_LINE + 1 bytes.
        """
        number, rest = 0, bytearray()
        for block in blocks:
            if len(rest) > MAX_LINE:
                newline = block.find(b"\n")
                block = b"" if newline < 0 else block[newline:]  # noqa: PLW2901 the rest of a long line
            first, *others = block.split(b"\n")
            rest += first
            if len(rest) > MAX_LINE:
                del rest[MAX_LINE + 1 :]
            if not others:
                continue
            number += 1
            yield number, bytes(rest).removeprefix(_BYTE_ORDER_MARK) if number == 1 else bytes(rest)
            rest = bytearray(others.pop())
            for line in others:
                number += 1
                yield number, line
        if self.damage:
            self.rest, self.line = bytes(rest), number + 1
        elif rest:
            yield number + 1, bytes(rest).removeprefix(_BYTE_ORDER_MARK) if number == 0 else bytes(rest)

    def _plain(self, first: bytes) -> Iterator[bytes]:
        block = first
        while block:
            yield block
            if self._on_bytes:
                self._on_bytes(len(block))
            block = self._file.read(_BLOCK)

    def _unpacked(self, first: bytes) -> Iterator[bytes]:
        engine = zlib.decompressobj(_GZIP_ONLY)
        begun = False
        for block in self._plain(first):
            packed, full = block, False
            while packed or full:
                before = engine.copy()
                try:
                    unpacked = engine.decompress(packed, _UNPACKED_BLOCK)
                except zlib.error:
                    yield from _salvaged(before, packed)
                    self.damage = "the gzip data is damaged from here on"
                    return
                if unpacked:
                    yield unpacked
                begun, full = not engine.eof, len(unpacked) == _UNPACKED_BLOCK and not engine.eof
                packed = engine.unconsumed_tail
                if engine.eof:  # gzip members may be concatenated
                    packed = engine.unused_data.lstrip(b"\0")
                    engine = zlib.decompressobj(_GZIP_ONLY)
        if begun:
            self.damage = "the gzip file is truncated here: the rest is missing"


def _narrow(blocks: Iterator[bytes]) -> Iterator[bytes]:
    first = b""
    for block in blocks:
        first += block
        if len(first) >= _FIRST:
            break
    encoding = next((name for mark, name in _WIDE if first.startswith(mark)), None)
    if encoding is None:
        yield first
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    yield decoder.decode(first).encode("utf-8", "replace")
    for block in blocks:
        yield decoder.decode(block).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _salvaged(engine, packed: bytes) -> Iterator[bytes]:
    # A call fails as a whole, so the data before the damage is decompressed byte by byte.
    for position in range(len(packed)):
        try:
            yield engine.decompress(packed[position : position + 1])
        except zlib.error:
            return
