"""Draining the spool: waiting spans are stored, oldest first, and only then removed."""

import pytest

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool.spool import Spool, usage
from leo_telemetry_pipeline_tests.builders import span, spans_of
from leo_telemetry_pipeline_tests.draining import drain
from leo_telemetry_pipeline_tests.unit.spool.stores import MB, Store, Stored, away, files, noted


def test_spans_are_drained_oldest_first_and_removed(spool, folder):
    """Lost: spans that waited on disk, or their order."""
    first = [span(sd_id="SD-1", project="shop", attributes={"score": 91.5, "note": "line\nbreak ü \u2028 \u0000"})]
    second = spans_of("phase", "LEAD", [1, None, 3])
    spool.write(first, {"gen_ai.prompt": 2})
    spool.write(second, {"gen_ai.prompt": 1})
    store = Store()
    done = drain(folder, store)
    assert store.spans[1:] == second
    assert store.spans[0].attributes["note"] == "line\nbreak ü \u2028 \ufffd"
    assert store.removed == {"gen_ai.prompt": 3}
    assert (done.segments, done.spans, done.new, done.torn, done.left, done.busy) == (2, 4, 4, 0, 0, False)
    assert usage(folder) == (0, 0)
    assert drain(folder, away).segments == 0


def test_large_spans_are_drained_in_small_batches(folder):
    """Lost: the receiver's memory, if a thousand spans of a megabyte each wait on disk."""
    spool = Spool(folder, 64 * MB)
    spans = spans_of("phase", "LEAD", range(14))
    for large in spans:
        large.attributes = {f"text_{n}": "a word " * 1_400 for n in range(100)}
    spool.write(spans)
    sizes = []

    def store(batch: list[Span], _: dict[str, int]) -> Stored:
        sizes.append(len(batch))
        return Stored(len(batch))

    done = drain(folder, store)
    assert (done.spans, done.new, sum(sizes)) == (14, 14, 14)
    assert max(sizes) < 10


def test_a_segment_is_not_removed_before_it_is_stored(spool, folder):
    """Lost: all waiting spans, if the database goes away again during a drain."""
    spool.write([span()])
    spool.write([span()])
    spool.keep_counters({"created": 2})
    store = Store()

    def one_only(spans: list[Span], removed: dict[str, int]) -> Stored:
        return away(spans, removed) if store.spans else store(spans, removed)

    with pytest.raises(ConnectionError):
        drain(folder, one_only)
    assert usage(folder)[0] == 1
    done = drain(folder, store, note=noted)
    assert len(store.spans) == 2
    assert done.counters == [{"created": 2}]


def test_spans_drained_before_the_database_went_away_are_recorded(spool, folder):
    """Lost: the counts of stored spans and lost lines."""
    spool.write([span()])
    spool.write([span()])
    spool.keep_counters({"created": 2})
    (first, _) = files(folder)
    first.write_bytes(first.read_bytes() + b"torn")
    store, notes = Store(), []

    def one_only(spans: list[Span], removed: dict[str, int]) -> Stored:
        return away(spans, removed) if store.spans else store(spans, removed)

    with pytest.raises(ConnectionError):
        drain(folder, one_only, note=notes.append)
    assert [(done.segments, done.torn, done.counters) for done in notes] == [(1, 1, [{"created": 2}])]
    done = drain(folder, store, note=noted)
    assert (done.segments, done.torn, done.counters) == (1, 0, [])


def test_counts_that_could_not_be_recorded_are_left_for_a_later_drain(spool, folder):
    """Lost: the number of torn lines, if a writer drains or recording fails."""
    spool.keep_counters({"created": 2})
    for note in (None, lambda done: away([], {})):
        spool.write([span()])
        (path,) = files(folder)
        path.write_bytes(path.read_bytes()[:-5])
        if note is None:
            assert drain(folder, Store()).torn == 1
        else:
            with pytest.raises(ConnectionError):
                drain(folder, Store(), note=note)
    torn = {"quarantined": 0, "dropped": {"torn": 1}}
    assert drain(folder, Store(), note=noted).counters == [{"created": 2}, torn, torn]
    assert drain(folder, Store(), note=noted).counters == []


def test_of_two_drainers_one_works_and_the_other_reports_it(spool, folder):
    """Lost: spans are stored twice, or segments removed while another drainer reads them."""
    spool.write([span()])
    seen = []

    def store(spans: list[Span], removed: dict[str, int]) -> Stored:
        seen.append(drain(folder, away))
        return Stored(len(spans))

    assert drain(folder, store).spans == 1
    assert [one.busy for one in seen] == [True]


def test_a_drain_with_a_time_limit_makes_progress_and_reports_the_rest(spool, folder):
    """Lost: a spool never becomes empty, or an analysis waits for it."""
    for _ in range(3):
        spool.write([span()])
    assert [drain(folder, Store(), at_most_s=0).left for _ in range(3)] == [2, 1, 0]
