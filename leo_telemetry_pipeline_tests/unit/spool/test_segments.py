"""Segments of the spool: whatever damages them, what is whole comes out again."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool import segments
from leo_telemetry_pipeline.spool.drain import drain
from leo_telemetry_pipeline.spool.journal import Journal
from leo_telemetry_pipeline.spool.spool import Spool, usage
from leo_telemetry_pipeline_tests.builders import span, spans_of
from leo_telemetry_pipeline_tests.unit.spool.stores import MB, Store, Stored, away, files, lines_of


@contextmanager
def child() -> Iterator[None]:
    """Fork a child that lives for as long as the block."""
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
    """Lost: trust, when half a span becomes a row; or the whole spans before it."""
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
def test_damage_anywhere_costs_the_damaged_lines_and_no_other(data, tmp_path_factory):
    """Lost: good spans beside a bad sector, or a bad value among good ones."""
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
def test_a_line_that_is_no_span_is_counted_and_never_stored(spool, folder, record):
    """Lost: the drain, which would stop at such a line for ever."""
    spool.write([span()])
    (path,) = files(folder)
    path.write_bytes(path.read_bytes() + segments.line_of(record))
    store = Store()
    assert drain(folder, store).torn == 1
    assert len(store.spans) == 1


def test_a_column_of_a_newer_version_is_kept_as_an_attribute(spool, folder):
    """Lost: all that waited on disk, after going back to an older version."""
    spool.write([span()])
    (path,) = files(folder)
    record = segments.record_of(path.read_bytes())
    record["span"]["region"] = "eu"
    path.write_bytes(segments.line_of(record))
    store = Store()
    drain(folder, store)
    assert store.spans[0].attributes == {"region": "eu"}


def test_what_a_living_writer_has_is_left_to_it(spool, folder):
    """Lost: spans whose writer appends to a file that was removed under its hands."""
    journal = Journal(spool)
    segment = journal.append(lines_of([span()]), 1)
    done = drain(folder, away)
    assert (done.segments, done.left) == (0, 1)
    journal.settle(segment, 1, stored=False)
    journal.release()
    assert drain(folder, Store()).spans == 1


def test_a_segment_goes_when_all_its_spans_are_stored(spool, folder):
    """Lost: disk space, and time of every later drain, to spans that arrived long ago."""
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


def test_a_writer_leaves_what_it_did_not_see_stored(spool, folder):
    """Lost: a span in flight when its program ended."""
    journal = Journal(spool)
    segment = journal.append(lines_of([span(), span()]), 2)
    journal.settle(segment, 1, stored=True)
    journal.close()
    journal.settle(segment, 1, stored=True)
    assert drain(folder, Store()).spans == 2


def test_a_child_that_was_forked_holds_nothing(spool, folder):
    """Lost: everything that waits, for as long as a worker lives that was forked at the wrong moment."""
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
    """Lost: reading a spool with other tools when something is wrong."""
    line = segments.span_line(span(span_name="A"))
    assert int(line[:8], 16) >= 0
    assert json.loads(line[9:])["span"]["span_name"] == "A"
