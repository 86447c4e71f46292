"""Line reader for files of any size, compressed or damaged.

Belongs here: reading in blocks, gzip, xz, zstd, UTF-16, line ends, truncation. Does not: what a line means (reader).
"""

import codecs
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import BinaryIO, Protocol

MAX_LINE = 10_000_000
TOO_LONG = f"the line is longer than {MAX_LINE // 1_000_000} MB"
NOT_UTF8 = "the line is not UTF-8"
_BLOCK = 256 * 1024
_UNPACKED_BLOCK = 1024 * 1024
# Compressed data is decompressed in pieces, because a call fails as a whole if the piece is damaged.
_PIECE = 4096
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


class Decompressor(Protocol):
    """Decompressor of one member of a file, such as ``lzma.LZMADecompressor``."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What follows the end of the member."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether another call needs more data."""
        ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return at most ``max_length`` more bytes of content."""
        ...


class _Gzip:
    """Decompressor of one gzip member, with the interface of those of xz and zstd; returns all data before damage."""

    def __init__(self) -> None:
        self._engine = zlib.decompressobj(_GZIP_ONLY)
        self._damage: zlib.error | None = None
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._engine.eof

    @property
    def unused_data(self) -> bytes:
        return self._engine.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        if self._damage:
            raise self._damage
        before, packed = self._engine.copy(), self._engine.unconsumed_tail + data
        try:
            found = self._engine.decompress(packed, max_length)
        except zlib.error as error:
            self._damage, self.needs_input = error, False
            return _salvaged(before, packed)
        self.needs_input = not self._engine.unconsumed_tail and len(found) < max_length
        return found


def _salvaged(engine, packed: bytes) -> bytes:
    # Byte by byte, up to the damage.
    found = b""
    with suppress(zlib.error):
        for position in range(len(packed)):
            found += engine.decompress(packed[position : position + 1])
    return found


def _gzip() -> tuple[Callable[[], Decompressor], type[Exception]]:
    return _Gzip, zlib.error


def _xz() -> tuple[Callable[[], Decompressor], type[Exception]]:
    import lzma

    return lzma.LZMADecompressor, lzma.LZMAError


def _zstd() -> tuple[Callable[[], Decompressor], type[Exception]]:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdDecompressor, zstd.ZstdError


# First bytes of a compressed file, the name of its compression, and its decompressor.
_PACKED = ((b"\x1f\x8b", "gzip", _gzip), (b"\xfd7zXZ\x00", "xz", _xz), (b"\x28\xb5\x2f\xfd", "zstd", _zstd))


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
        """Yield the content in blocks of at most 1 MiB, decompressed, UTF-16 and UTF-32 as UTF-8."""
        # The file may be a pipe, which cannot be rewound.
        first = self._file.read(_BLOCK)
        for magic, name, codec in _PACKED:
            if first.startswith(magic):
                return _narrow(self._unpacked(first, name, *codec()))
        return _narrow(self._plain(first))

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

    def _unpacked(
        self, first: bytes, name: str, new: Callable[[], Decompressor], error: type[Exception]
    ) -> Iterator[bytes]:
        engine, begun = new(), False
        for block in self._plain(first):
            for start in range(0, len(block), _PIECE):
                packed = block[start : start + _PIECE]
                while packed or not engine.needs_input:
                    try:
                        unpacked = engine.decompress(packed, _UNPACKED_BLOCK)
                    except error:
                        self.damage = f"the {name} data is damaged from here on"
                        return
                    if unpacked:
                        yield unpacked
                    begun, packed = not engine.eof, b""
                    if engine.eof:  # members may be concatenated
                        packed, engine = engine.unused_data.lstrip(b"\0"), new()
        if begun:
            self.damage = f"the {name} file is truncated here: the rest is missing"


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
