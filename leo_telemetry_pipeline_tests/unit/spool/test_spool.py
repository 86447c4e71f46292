"""Spool: spans come out complete, once, and only to their owner."""

import errno
import fcntl
import json
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool import leftover_counters, segments
from leo_telemetry_pipeline.spool import spool as spools
from leo_telemetry_pipeline.spool.drain import Drained, drain
from leo_telemetry_pipeline.spool.journal import Journal
from leo_telemetry_pipeline.spool.spool import Spool, SpoolError, folder_of, usage
from leo_telemetry_pipeline_tests.builders import span, spans_of

MB = 1 << 20


class Stored(NamedTuple):
    new: int
    quarantined: int = 0
    completed: int = 0


class Store:
    """Store that remembers its spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.removed: dict[str, int] = {}

    def __call__(self, spans: list[Span], removed: dict[str, int]) -> Stored:
        self.spans += spans
        for name, count in removed.items():
            self.removed[name] = self.removed.get(name, 0) + count
        return Stored(len(spans))


def away(spans: list[Span], removed: dict[str, int]) -> Stored:
    raise ConnectionError("the database is away")


def noted(done: Drained) -> None:
    """Accept the result of a drain, as an available database does."""


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return folder_of(str(tmp_path / "home"))


@pytest.fixture
def spool(folder: str) -> Spool:
    return Spool(folder, MB)


def files(folder: str) -> list[Path]:
    return sorted(Path(folder).glob("*.spans"))


def lines_of(spans: list[Span]) -> bytes:
    return b"".join(map(segments.span_line, spans))


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


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limit the size of files, so that writes fail as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_spans_are_drained_oldest_first_and_removed(spool, folder):
    """Lost: spans that waited on disk, or their order, so that children seem older than parents."""
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


def test_only_the_owner_can_read_the_spool(spool, folder):
    """Lost: privacy: every user of the machine can read spans."""
    spool.write([span()], sync=True)
    spool.keep_counters({"created": 1})
    drain(folder, Store())
    spool.write([span()])
    assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
    for path in Path(folder).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


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
    """Lost: good spans beside a bad sector or a bad value."""
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
    """Lost: a drain that stops at such a line forever."""
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


def test_a_full_spool_refuses_and_leaves_no_partial_write(folder):
    """Lost: the machine's disk, if the database is away for a week."""
    spool = Spool(folder, 20_000)
    # A file occupies whole blocks of the disk.
    for _ in range(4):
        spool.write([span()])
    with pytest.raises(SpoolError, match="spool_full"):
        spool.write(spans_of("gate", "A", range(100)))
    assert usage(folder)[0] == 4
    assert usage(folder)[1] >= sum(512 * path.stat().st_blocks for path in files(folder))
    store = Store()
    drain(folder, store)
    assert len(store.spans) == 4


def test_the_smallest_segment_counts_with_its_disk_usage(folder):
    """Lost: short programs with one span each use a hundred times the configured disk space."""
    spool = Spool(folder, 8_192)
    spool.write([span()])
    spool.write([span()])
    with pytest.raises(SpoolError, match="spool_full"):
        spool.write([span()])


def test_the_number_of_segments_is_limited(spool, folder, monkeypatch):
    """Lost: every program spends seconds on listing a folder with a million files."""
    monkeypatch.setattr(spools, "_MOST_SEGMENTS", 2)
    spool.write([span()])
    spool.write([span()])
    with pytest.raises(SpoolError, match="spool_full"):
        spool.write([span()])
    assert usage(folder)[0] == 2


def test_a_full_disk_refuses_and_leaves_no_torn_line(spool, folder):
    """Lost: spans counted as spooled, or a drain that fails at half a line."""
    with largest_file(1_000), pytest.raises(SpoolError, match="spool_disk_full"):
        spool.write(spans_of("gate", "A", range(100)))
    assert usage(folder) == (0, 0)
    journal = Journal(spool)
    kept = [span(), span()]
    journal.append(lines_of(kept), 2)
    with largest_file(1_000), pytest.raises(SpoolError, match="spool_disk_full"):
        journal.append(lines_of(spans_of("gate", "A", range(100))), 100)
    journal.close()
    store = Store()
    assert drain(folder, store).torn == 0
    assert store.spans == kept


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(folder, mode):
    """Lost: trust in the data, if others plant spans in a folder that everyone may write to."""
    Path(folder).mkdir(parents=True)
    Path(folder).chmod(mode)
    with pytest.raises(SpoolError, match="spool_unavailable"):
        Spool(folder, MB).write([span()])
    with pytest.raises(PermissionError):
        drain(folder, Store())


def test_links_are_not_followed(folder, tmp_path):
    """Lost: a user's file is read as spans and removed, or overwritten."""
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    Path(folder).parent.mkdir()
    Path(folder).symlink_to(target)
    with pytest.raises(SpoolError, match="spool_unavailable"):
        Spool(folder, MB).write([span()])
    Path(folder).unlink()
    Spool(folder, MB).write([span()])
    precious = tmp_path / "precious"
    precious.write_bytes(lines_of([span()]))
    (Path(folder) / "0.spans").symlink_to(precious)
    (Path(folder) / "1.spans").mkdir()
    os.mkfifo(Path(folder) / "2.spans", 0o600)
    done = drain(folder, Store())
    assert (done.spans, done.left) == (1, 3)
    assert precious.exists()


def test_a_folder_that_cannot_be_created_is_unavailable(tmp_path):
    """Lost: the measured program fails because of its telemetry."""
    (tmp_path / "file").write_text("")
    spool = Spool(str(tmp_path / "file" / "home" / "spool"), MB)
    with pytest.raises(SpoolError, match="spool_unavailable"):
        spool.write([span()])
    with pytest.raises(SpoolError, match="spool_unavailable"):
        spool.keep_counters({})
    assert drain(str(tmp_path / "nowhere"), away).segments == 0


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
    """Lost: a spool that never becomes empty, or an analysis that waits for it."""
    for _ in range(3):
        spool.write([span()])
    assert [drain(folder, Store(), at_most_s=0).left for _ in range(3)] == [2, 1, 0]


def test_counters_are_left_for_the_next_drain(spool, folder):
    """Lost: what became of the spans of a program that ended."""
    spool.keep_counters({"created": 3, "dropped": {"queue_full": 1}})
    spool.keep_counters({"created": 2})
    assert drain(folder, away).counters == []
    assert [one["created"] for one in drain(folder, away, note=noted).counters] == [3, 2]
    assert drain(folder, away, note=noted).counters == []


def test_counters_that_arrive_while_others_are_recorded_stay(spool, folder):
    """Lost: the counters of a program that ends at that moment, or its time, spent waiting for a database."""
    spool.keep_counters({"created": 3})
    drain(folder, away, note=lambda done: spool.keep_counters({"created": 2}))
    assert drain(folder, away, note=noted).counters == [{"created": 2}]


def test_counters_truncated_by_a_full_disk_do_not_affect_others(spool, folder):
    """Lost: the counters of the next program that ends."""
    spool.keep_counters({"created": 3})
    path = Path(folder) / leftover_counters.NAME
    path.write_bytes(path.read_bytes()[:-5])
    spool.keep_counters({"created": 2})
    assert drain(folder, away, note=noted).counters == [{"created": 2}]


def test_leaving_counters_does_not_wait_long_for_a_lock(spool, folder):
    """Lost: a program cannot end while another process holds the counters."""
    spool.keep_counters({"created": 3})
    with (Path(folder) / leftover_counters.NAME).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SpoolError, match="spool_unavailable"):
            spool.keep_counters({"created": 2})
        assert drain(folder, away, note=noted).counters == []
    assert drain(folder, away, note=noted).counters == [{"created": 3}]


def test_a_failed_cleanup_does_not_stop_a_writer(spool, folder):
    """Lost: all later spans, if a disk becomes read-only."""
    journal = Journal(spool)
    first = journal.append(lines_of([span()]), 1)
    os.close(first._fd)
    journal.settle(first, 1, stored=True)
    second = journal.append(lines_of([span()]), 1)
    second.path.unlink()
    second.path.mkdir()
    journal.settle(second, 1, stored=True)
    journal.close()
    journal.append(lines_of([span()]), 1)
    journal.close()
    assert drain(folder, Store()).spans == 2


def test_a_file_system_without_locks_is_refused_and_left_empty(spool, folder, monkeypatch):
    """Lost: one empty file per attempt on a network file system."""

    def no_locks(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(SpoolError, match="spool_unavailable"):
        spool.write([span()])
    assert list(Path(folder).iterdir()) == []


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
