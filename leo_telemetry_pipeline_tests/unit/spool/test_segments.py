"""Segments of the spool: undamaged spans are read from damaged segments."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool import segments
from leo_telemetry_pipeline.spool.journal import Journal
from leo_telemetry_pipeline.spool.spool import Spool, usage
from leo_telemetry_pipeline_tests.builders import span, spans_of
from leo_telemetry_pipeline_tests.draining import drain
from leo_telemetry_pipeline_tests.unit.spool.stores import MB, Store, Stored, away, files, lines_of


@contextmanager
def child() -> Iterator[None]:
    """Fork a child that lives until the block ends."""
    waits, ends = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(ends)
        os.read(waits, 1)
        os._exit(0)
    os.close(waits)
    try:
        yield
    finally:
        os.close(ends)
        os.waitpid(pid, 0)


def test_a_torn_last_line_is_counted_and_never_stored(spool, folder):
    """Lost: half a span becomes a row, or the complete spans before it are dropped."""
    spans = spans_of("gate", "A", [1, 2, 3])
    spool.write(spans)
    (path,) = files(folder)
    path.write_bytes(path.read_bytes()[:-5])
    store = Store()
    done = drain(folder, store)
    assert store.spans == spans[:2]
    assert (done.torn, done.left) == (1, 0)


@settings(max_examples=200)
@given(data=st.data())
def test_damage_costs_only_the_damaged_lines(data, tmp_path_factory):
    """Lost: good spans next to a bad sector or a bad value."""
    folder = str(tmp_path_factory.mktemp("spool"))
    spans = spans_of("gate", "A", [1, 2, 3])
    Spool(folder, MB).write(spans)
    (path,) = files(folder)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    hit = content[:at].count(b"\n")
    good = [one for number, one in enumerate(spans) if number not in (hit, hit + (at == _ends(spans)[hit]))]
    store = Store()
    done = drain(folder, store)
    assert [one for one in store.spans if one in good] == good
    assert all(one in spans for one in store.spans)
    assert done.torn >= 1


def _ends(spans: list[Span]) -> list[int]:
    ends, at = [], -1
    for one in spans:
        at += len(segments.span_line(one))
        ends.append(at)
    return ends


@pytest.mark.parametrize(
    "record",
    [
        {"span": {}},
        {"span": {"trace_id": "x"}},
        {"span": 3},
        {"span": None},
        {"removed_keys": [1]},
        {"removed_keys": {"a": "1"}},
        {"removed_keys": {"a": 10**30}},
    ],
)
def test_a_line_that_is_not_a_span_is_counted_and_never_stored(spool, folder, record):
    """Lost: every drain stops at such a line."""
    spool.write([span()])
    (path,) = files(folder)
    path.write_bytes(path.read_bytes() + segments.line_of(record))
    store = Store()
    assert drain(folder, store).torn == 1
    assert len(store.spans) == 1


def test_a_column_of_a_newer_version_is_kept_as_an_attribute(spool, folder):
    """Lost: spooled spans after a downgrade."""
    spool.write([span()])
    (path,) = files(folder)
    record = segments.record_of(path.read_bytes())
    record["span"]["region"] = "eu"
    path.write_bytes(segments.line_of(record))
    store = Store()
    drain(folder, store)
    assert store.spans[0].attributes == {"region": "eu"}


def test_segments_of_a_living_writer_are_not_drained(spool, folder):
    """Lost: spans of a writer that appends to a removed file."""
    journal = Journal(spool)
    segment = journal.append(lines_of([span()]), 1)
    done = drain(folder, away)
    assert (done.segments, done.left) == (0, 1)
    journal.settle(segment, 1, stored=False)
    journal.release()
    assert drain(folder, Store()).spans == 1


def test_a_segment_is_removed_when_all_its_spans_are_stored(spool, folder):
    """Lost: disk space, and time of every later drain, for spans stored long ago."""
    journal = Journal(spool)
    first = journal.append(lines_of([span(), span()]), 2)
    journal.settle(first, 1, stored=True)
    assert usage(folder)[1] > 0
    journal.settle(first, 1, stored=True)
    assert usage(folder) == (1, 0)
    journal.append(lines_of([span()]), 1)
    assert usage(folder)[1] > 0
    journal.settle(first, 1, stored=True)
    journal.close()
    assert usage(folder) == (0, 0)


def test_a_writer_leaves_spans_of_unknown_fate_to_the_drain(spool, folder):
    """Lost: spans in flight when their program ends."""
    journal = Journal(spool)
    segment = journal.append(lines_of([span(), span()]), 2)
    journal.settle(segment, 1, stored=True)
    journal.close()
    journal.settle(segment, 1, stored=True)
    assert drain(folder, Store()).spans == 2


def test_a_forked_child_holds_no_locks(spool, folder):
    """Lost: all waiting spans, for the lifetime of a worker that was forked at the wrong moment."""
    spool.write([span()])
    journal = Journal(spool)
    journal.append(lines_of([span()]), 1)
    seen = []

    def store(spans: list[Span], removed: dict[str, int]) -> Stored:
        one = child()
        seen.append(one)
        one.__enter__()
        return Stored(len(spans))

    try:
        assert drain(folder, store).left == 1
        journal.close()
        done = drain(folder, Store())
        assert (done.busy, done.spans) == (False, 1)
    finally:
        for one in seen:
            one.__exit__(None, None, None)


def test_a_line_is_a_checksum_and_json(spool):
    """Lost: a spool that other tools can read when something is wrong."""
    line = segments.span_line(span(span_name="A"))
    assert int(line[:8], 16) >= 0
    assert json.loads(line[9:])["span"]["span_name"] == "A"
