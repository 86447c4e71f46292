"""File import at full size: one span from many sources, text as bytes, units and their remedies, wrong files.

Belongs here: line 4 of issue 11 for files. Does not: single cases (tests).
"""

import json
import random
import re
import shlex
import tempfile
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

from benchmarks.figures import Figure
from leo_telemetry_pipeline.sources.files import column_maps, reader
from leo_telemetry_pipeline.sources.files.admission import AdmissionRules, FileCheck, Refused
from leo_telemetry_pipeline.sources.files.reader import BadLine
from leo_telemetry_pipeline.span import Span

LINE = "11.4"
NOW_MS = 1_795_968_000_000
DAY_MS = 86_400_000
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEF0123456789_-äß☃"
_UNITS = {"s": 1 / 1_000, "us": 1_000, "ns": 1_000_000, "d": 1 / DAY_MS}


def parts(full: bool) -> list[str]:  # noqa: ARG001 the interface of a trial
    """Return the names of the parts."""
    return ["sources", "bytes", "units", "wrong"]


def run(part: str, seed: int, full: bool) -> Iterator[Figure]:
    """Measure one part."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        yield {"sources": _sources, "bytes": _bytes, "units": _units, "wrong": _wrong}[part](
            chance, Path(folder), 100_000 if full else 2_000
        )


def _sources(chance: random.Random, folder: Path, count: int) -> Figure:
    """Write spans with sub-millisecond times in four formats, and count those that differ between formats."""
    moments = [(start := chance.randrange(NOW_MS * 10**6), start + chance.randrange(10**11)) for _ in range(count)]
    paths = [folder / name for name in ("otlp.jsonl", "iso.jsonl", "rows.jsonl", "ns.csv")]
    with paths[0].open("w") as otlp, paths[1].open("w") as iso, paths[2].open("w") as rows, paths[3].open("w") as table:
        table.write("trace_id,span_id,span_type,span_name,start_time_ms,end_time_ms\n")
        for number, (start, end) in enumerate(moments, 1):
            ids = {
                "trace_id": f"{number:032x}",
                "span_id": f"{number:016x}",
                "span_type": "operation",
                "span_name": "x",
            }
            span = {"traceId": ids["trace_id"], "spanId": ids["span_id"], "name": "x"}
            span |= {"startTimeUnixNano": str(start), "endTimeUnixNano": str(end)}
            otlp.write(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}) + "\n")
            iso.write(json.dumps(ids | {"start_time_ms": _iso(start), "end_time_ms": _iso(end)}) + "\n")
            # Numbers are written as text, because a Python float has fewer digits.
            times = f'"start_time_ms": {_decimal(start)}, "duration_ms": {_decimal(end - start)}'
            rows.write(f"{json.dumps(ids)[:-1]}, {times}}}\n")
            table.write(",".join(ids.values()) + f",{start},{end}\n")
    found = [
        [
            (span.span_id, span.start_time_ms, _took(span))
            for span in reader.read(path, column_map=_NS if path.suffix == ".csv" else None)
            if isinstance(span, Span)
        ]
        for path in paths
    ]
    differing = sum(len(set(same)) > 1 for same in zip(*found, strict=True))
    same = all(len(each) == count for each in found)
    return Figure(
        LINE,
        f"{count:,} spans in 4 file formats",
        "equal in all formats",
        f"{differing} differ",
        same and differing == 0,
    )


_NS = {"start_time_ms": "start_time_ms:ns", "end_time_ms": "end_time_ms:ns"}


def _took(span: Span) -> int | None:
    if span.duration_ms is not None or span.end_time_ms is None:
        return span.duration_ms
    return span.end_time_ms - span.start_time_ms


def _iso(ns: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09d}Z"


def _decimal(ns: int) -> str:
    return f"{Decimal(ns).scaleb(-6):f}"


def _bytes(chance: random.Random, folder: Path, count: int) -> Figure:
    """Write names of every length as bytes and as text, and count those that differ when read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ["".join(chance.choices(_LETTERS, k=1 + number % 40)) for number in range(count)]
    found = []
    for kind in (pa.binary(), pa.string()):
        texts = pa.array(names).cast(kind)
        columns = {
            "trace_id": pa.array([f"{number:032x}" for number in range(1, count + 1)]).cast(kind),
            "span_id": pa.array([number.to_bytes(8, "big") for number in range(1, count + 1)]),
            "span_type": pa.array(["subagent"] * count).cast(kind),
            "span_name": texts,
            "start_time_ms": pa.array([NOW_MS] * count),
            "note": texts,
        }
        pq.write_table(pa.table(columns), folder / "f")
        found.append([item for item in reader.read(folder / "f") if isinstance(item, Span)])
    wrong = sum(one != other for one, other in zip(*found, strict=True))
    held = not wrong and len(found[0]) == count
    return Figure(
        LINE,
        f"{count:,} names of 1 to 40 letters in Parquet as BINARY",
        "read as the same text",
        f"{wrong} differ",
        held,
    )


def _units(chance: random.Random, folder: Path, count: int) -> Figure:
    """Write files in each unit, apply the printed remedy, and count the files that it does not fix."""
    failed = 0
    for unit, factor in _UNITS.items():
        path = folder / unit
        starts = [NOW_MS - chance.randrange(80 * DAY_MS) for _ in range(count // 10)]
        path.write_text(
            "".join(
                json.dumps(_row(number) | {"start_time_ms": start * factor if factor < 1 else round(start * factor)})
                + "\n"
                for number, start in enumerate(starts, 1)
            )
        )
        message = _refused(path)
        remedy = re.search(r"use `(--map [^`]+)`", message)
        column_map = column_maps.parse_map(shlex.split(remedy[1])[1]) if remedy else {}
        check = FileCheck(unit, AdmissionRules(NOW_MS, 90), column_map=column_map)
        found = [
            item.start_time_ms
            for item in check.admit(reader.read(path, column_map=column_map or None))
            if isinstance(item, Span)
        ]
        failed += not remedy or any(abs(one - other) > 1 for one, other in zip(found, starts, strict=True))
    return Figure(
        LINE,
        f"files with times in {len(_UNITS)} units, after the remedy that is printed",
        "all read",
        f"{failed} not read",
        not failed,
    )


def _wrong(chance: random.Random, folder: Path, count: int) -> Figure:
    """Import a conversation; count the lines read before it is refused, and messages that quote it."""
    path, word = folder / "f", f"secret{chance.getrandbits(64):x}"
    line = {"type": "user", "sessionId": str(uuid.uuid4()), "uuid": "x", "message": {"content": f"please {word}"}}
    path.write_text((json.dumps(line) + "\n") * count)
    seen: list[BadLine | Span] = []

    def watched(check: FileCheck) -> Iterator[BadLine | Span]:
        for item in reader.read(path, seen=check.seen):
            seen.append(item)
            yield item

    message = _refused(path, watched)
    leaked = sum(word in f"{item.text}{item.reason}{item.keys}" for item in seen if isinstance(item, BadLine))
    measured = f"{len(seen)} lines read, {leaked} messages that quote it"
    held = len(seen) <= 100 and not leaked and "transcript" in message and word not in message
    return Figure(LINE, f"a conversation of {count:,} lines", "refused within 100 lines, none quoted", measured, held)


def _row(number: int) -> dict:
    return {"trace_id": f"{number:032x}", "span_id": f"{number:016x}", "span_type": "gate", "span_name": "G"}


def _refused(path: Path, read: Callable[[FileCheck], Iterator[BadLine | Span]] | None = None) -> str:
    check = FileCheck(str(path), AdmissionRules(NOW_MS, 90))
    try:
        for _ in check.admit(read(check) if read else reader.read(path, seen=check.seen)):
            pass
    except Refused as error:
        return error.message
    return ""
