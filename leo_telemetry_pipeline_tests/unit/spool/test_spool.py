"""The spool: what is written there comes out again, whole, once, and for nobody else."""

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
from leo_telemetry_pipeline.spool.drain import Drained
from leo_telemetry_pipeline.spool.journal import Journal
from leo_telemetry_pipeline.spool.spool import Spool, SpoolError, folder_of, usage
from leo_telemetry_pipeline_tests.builders import span, spans_of
from leo_telemetry_pipeline_tests.draining import drain

MB = 1 << 20


class Stored(NamedTuple):
    new: int
    quarantined: int = 0
    completed: int = 0


class Store:
    """Takes spans as a database does, and remembers them."""

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
    """Note what was drained, as a database that answers does."""


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


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the kernel refuse to make files larger, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_written_is_drained_oldest_first_and_is_then_gone(spool, folder):
    """Lost: spans that waited on disk, or their order, so that parents look younger than children."""
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
    """Lost: the memory of the receiver, to a thousand spans of a megabyte that waited on disk."""
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


def test_nobody_else_may_read_what_waits(spool, folder):
    """Lost: the privacy of what a program noted about its work, to every user of the machine."""
    spool.write([span()], sync=True)
    spool.keep_counters({"created": 1})
    drain(folder, Store())
    spool.write([span()])
    assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
    for path in Path(folder).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


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


def test_a_full_spool_refuses_and_leaves_nothing_half_written(folder):
    """Lost: the disk of the machine, to a database that is away for a week."""
    spool = Spool(folder, 20_000)
    # A file takes whole blocks of the disk, however little is in it.
    for _ in range(4):
        spool.write([span()])
    with pytest.raises(SpoolError, match="spool_full"):
        spool.write(spans_of("gate", "A", range(100)))
    assert usage(folder)[0] == 4
    assert usage(folder)[1] >= sum(512 * path.stat().st_blocks for path in files(folder))
    store = Store()
    drain(folder, store)
    assert len(store.spans) == 4


def test_the_smallest_segment_counts_as_what_it_takes_of_the_disk(folder):
    """Lost: a hundred times the disk that somebody gave the spool, to short programs with one span each."""
    spool = Spool(folder, 8_192)
    spool.write([span()])
    spool.write([span()])
    with pytest.raises(SpoolError, match="spool_full"):
        spool.write([span()])


def test_there_are_never_too_many_segments_to_look_at(spool, folder, monkeypatch):
    """Lost: seconds of every program, to a folder with a million files."""
    monkeypatch.setattr(spools, "_MOST_SEGMENTS", 2)
    spool.write([span()])
    spool.write([span()])
    with pytest.raises(SpoolError, match="spool_full"):
        spool.write([span()])
    assert usage(folder)[0] == 2


def test_a_full_disk_refuses_and_leaves_nothing_torn(spool, folder):
    """Lost: spans that were counted as kept, or a drain that stumbles over half a line."""
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
def test_a_folder_that_others_may_write_is_refused(folder, mode):
    """Lost: the truth of the data, to whoever plants spans in a folder that everyone may write."""
    Path(folder).mkdir(parents=True)
    Path(folder).chmod(mode)
    with pytest.raises(SpoolError, match="spool_unavailable"):
        Spool(folder, MB).write([span()])
    with pytest.raises(PermissionError):
        drain(folder, Store())


def test_links_are_not_followed(folder, tmp_path):
    """Lost: a file of the user's, read as spans and removed, or overwritten."""
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


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path):
    """Lost: the measured program, to an error of its telemetry."""
    (tmp_path / "file").write_text("")
    spool = Spool(str(tmp_path / "file" / "home" / "spool"), MB)
    with pytest.raises(SpoolError, match="spool_unavailable"):
        spool.write([span()])
    with pytest.raises(SpoolError, match="spool_unavailable"):
        spool.keep_counters({})
    assert drain(str(tmp_path / "nowhere"), away).segments == 0


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


def test_nothing_is_removed_before_it_is_stored(spool, folder):
    """Lost: everything that waited, to a database that goes away again while it is drained."""
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


def test_what_was_drained_before_the_database_went_away_is_noted(spool, folder):
    """Lost: the account of spans that are stored, and of lines that are gone."""
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


def test_what_could_not_be_noted_is_left_for_a_drain_that_can(spool, folder):
    """Lost: the number of torn lines, when a writer came upon them, or its note did not get through."""
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


def test_of_two_drainers_one_works_and_the_other_says_so(spool, folder):
    """Lost: the load of storing everything twice, and segments removed while another reads them."""
    spool.write([span()])
    seen = []

    def store(spans: list[Span], removed: dict[str, int]) -> Stored:
        seen.append(drain(folder, away))
        return Stored(len(spans))

    assert drain(folder, store).spans == 1
    assert [one.busy for one in seen] == [True]


def test_a_drain_of_limited_time_makes_progress_and_says_what_is_left(spool, folder):
    """Lost: a spool that never gets empty because no bite is long enough; or an analysis that waits for it."""
    for _ in range(3):
        spool.write([span()])
    assert [drain(folder, Store(), at_most_s=0).left for _ in range(3)] == [2, 1, 0]


def test_counters_are_left_for_the_drain_that_asks_for_them(spool, folder):
    """Lost: the answer to what became of the spans of a program that ended."""
    spool.keep_counters({"created": 3, "dropped": {"queue_full": 1}})
    spool.keep_counters({"created": 2})
    assert drain(folder, away).counters == []
    assert [one["created"] for one in drain(folder, away, note=noted).counters] == [3, 2]
    assert drain(folder, away, note=noted).counters == []


def test_counters_that_come_while_others_are_noted_stay(spool, folder):
    """Lost: the counters of a program that ends at that moment; or its time, waiting for somebody's database."""
    spool.keep_counters({"created": 3})
    drain(folder, away, note=lambda done: spool.keep_counters({"created": 2}))
    assert drain(folder, away, note=noted).counters == [{"created": 2}]


def test_counters_that_a_full_disk_cut_off_cost_no_others(spool, folder):
    """Lost: the counters of the next program that ends."""
    spool.keep_counters({"created": 3})
    path = Path(folder) / leftover_counters.NAME
    path.write_bytes(path.read_bytes()[:-5])
    spool.keep_counters({"created": 2})
    assert drain(folder, away, note=noted).counters == [{"created": 2}]


def test_counters_wait_for_nobody_for_long(spool, folder):
    """Lost: the end of a program, while another one holds the counters and does not go on."""
    spool.keep_counters({"created": 3})
    with (Path(folder) / leftover_counters.NAME).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SpoolError, match="spool_unavailable"):
            spool.keep_counters({"created": 2})
        assert drain(folder, away, note=noted).counters == []
    assert drain(folder, away, note=noted).counters == [{"created": 3}]


def test_what_cannot_be_tidied_stays_and_stops_no_writer(spool, folder):
    """Lost: every later span, when a disk is suddenly for reading only."""
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
    """Lost: every name of a network's disk, to one empty file a try."""

    def no_locks(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(SpoolError, match="spool_unavailable"):
        spool.write([span()])
    assert list(Path(folder).iterdir()) == []


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
