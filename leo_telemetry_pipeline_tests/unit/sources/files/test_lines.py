"""Lines of files of any length, encoding and compression; none stops the others."""

import bz2
import gzip
import json
import lzma
import os
import sys
import tracemalloc

import pytest

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.sources.files.lines import MAX_LINE
from leo_telemetry_pipeline.sources.files.reader import BadLine, read
from leo_telemetry_pipeline_tests.unit.sources.files.reading import kinds, read_bytes, row, rows


def test_a_bad_line_has_file_and_number_and_does_not_affect_the_others(tmp_path):
    """Lost: everything after the first bad line of an import."""
    found = read_bytes(tmp_path, b"\xef\xbb\xbf" + rows(2) + b"\n  \n{oops\n\xff\n7\n" + rows(1))
    assert kinds(found) == "ssbbbs"
    assert [(item.line, item.reason, item.text) for item in found if isinstance(item, BadLine)] == [
        (5, "not JSON: expecting property name enclosed in double quotes at character 2", ""),
        (6, "the line is not UTF-8", ""),
        (7, "not an object", ""),
    ]
    assert {item.file for item in found if isinstance(item, BadLine)} == {str(tmp_path / "f.jsonl")}


@pytest.mark.parametrize("line", [b'{"a": ' * 100_000, b"[" * 100_000, b'{"trace_id": ' + b"9" * 5_000 + b"}"])
def test_lines_crafted_to_break_a_parser_are_bad_lines(tmp_path, line):
    """Lost: the import of a malicious file."""
    found = read_bytes(tmp_path, rows(1) + line + b"\n" + rows(1))
    assert kinds(found) == "sbs"
    assert all(len(item.text) <= 2_000 for item in found if isinstance(item, BadLine))


def test_a_line_over_10_mb_is_a_bad_line_and_not_held_in_memory(tmp_path):
    """Lost: the memory of a small machine, because of one endless line."""
    path = tmp_path / "f.jsonl.gz"
    with gzip.GzipFile(path, "wb", compresslevel=1) as file:
        file.write(rows(1))
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b"\n" + rows(1))
    tracemalloc.start()
    found = list(read(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kinds(found) == "sbs"
    assert peak < 5 * MAX_LINE


def zstd(content: bytes) -> bytes:
    """Compress as the program zstd does, with a checksum."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: True})


PACKERS = pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstd], ids=["gzip", "xz", "zstd"])


@PACKERS
def test_compressed_files_are_recognized_by_content(tmp_path, pack):
    """Lost: compressed files without the usual suffix."""
    packed = pack(rows(3)) + pack(rows(2))
    assert kinds(read_bytes(tmp_path, packed, "f")) == "sssss"
    for suffix in ("gz", "xz", "zst"):
        assert kinds(read_bytes(tmp_path, rows(1), f"f.{suffix}")) == "s"


@PACKERS
@pytest.mark.parametrize("missing", [1, 8, 9, 400])
def test_the_available_part_of_a_truncated_file_is_read(tmp_path, pack, missing):
    """Lost: a whole file after an interrupted download."""
    packed = pack(rows(20_000))
    *good, last = read_bytes(tmp_path, packed[:-missing], "f.jsonl")
    assert len(good) >= 15_000
    assert kinds(good) == "s" * len(good)
    assert isinstance(last, BadLine)
    assert "truncated" in last.reason
    assert last.line == len(good) + 1


def test_the_part_of_a_gzip_before_its_damage_is_read(tmp_path):
    """Lost: a whole file because of one bad block."""
    packed = bytearray(gzip.compress(rows(1_000)))
    packed[-6] ^= 255  # in the checksum, after all data
    found = read_bytes(tmp_path, bytes(packed), "f.jsonl.gz")
    assert kinds(found) == "s" * 1_000 + "b"
    assert isinstance(found[-1], BadLine)
    assert "damaged" in found[-1].reason


@pytest.mark.parametrize("pack", [lzma.compress, zstd], ids=["xz", "zstd"])
def test_most_of_a_file_before_its_damage_is_read(tmp_path, pack):
    """Lost: a whole file because of one bad block."""
    packed = bytearray(pack(rows(20_000)))
    packed[len(packed) * 3 // 4] ^= 255
    *good, last = read_bytes(tmp_path, bytes(packed), "f.jsonl")
    assert len(good) >= 5_000
    assert isinstance(last, BadLine)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("packed", [False, True])
def test_utf_16_and_utf_32_are_read(tmp_path, encoding, packed):
    """Lost: files of PowerShell and spreadsheets."""
    mark = "\ufeff" if encoding.endswith(("le", "be")) else ""
    for text, name in (
        (rows(3).decode(), "f.jsonl"),
        (json.dumps([row(1, span_name="Zürich"), row(2)], indent=1), "f.json"),
        ("\t".join(row()) + "\r\n" + "\t".join(map(str, row().values())), "f.csv"),
    ):
        content = (mark + text).encode(encoding)
        found = read_bytes(tmp_path, gzip.compress(content) if packed else content, name)
        assert set(kinds(found)) == {"s"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            bz2.compress(b"x"),
            "compressed with bzip2, which is not supported: `bzip2 -dc FILE | leo-telemetry import -`",
        ),
        (
            b"PK\x03\x04\x14\x00" + bytes(20) + b"spans.jsonl",
            "compressed with zip, which is not supported: `unzip -p FILE",
        ),
        (
            b"PK\x03\x04\x14\x00" + bytes(20) + b"xl/workbook.xml",
            "a spreadsheet (.xlsx), which is not supported: save it",
        ),
        (b"\x04\x22\x4d\x18" + bytes(9), "compressed with lz4, which is not supported"),
    ],
)
def test_other_compressions_are_named_with_the_command_to_decompress(tmp_path, content, words):
    """Lost: hours spent on the message "the line is not UTF-8"."""
    with pytest.raises(UserError) as refused:
        read_bytes(tmp_path, content)
    assert words in refused.value.message
    assert refused.value.exit_code == 1


def test_a_pipe_is_read_in_one_pass(tmp_path):
    """Lost: all files that must be decompressed first."""
    for content in (rows(3), gzip.compress(rows(3)), b""):
        reader, writer = os.pipe()
        with os.fdopen(writer, "wb") as out:
            out.write(content)
        found = list(read(tmp_path / "standard input", file=os.fdopen(reader, "rb")))
        assert kinds(found) == "sss"[: 3 if content else 0]
