"""Spool: spans are read complete, once, and only by their owner."""

import errno
import fcntl
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from leo_telemetry_pipeline.spool import spool as spools
from leo_telemetry_pipeline.spool.journal import Journal
from leo_telemetry_pipeline.spool.spool import Spool, SpoolError, usage
from leo_telemetry_pipeline_tests.builders import span, spans_of
from leo_telemetry_pipeline_tests.draining import drain
from leo_telemetry_pipeline_tests.unit.spool.stores import MB, Store, away, files, lines_of


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limit the size of files, so that writes fail as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_only_the_owner_can_read_the_spool(spool, folder):
    """Lost: privacy: every user of the machine can read spans."""
    spool.write([span()], sync=True)
    spool.keep_counters({"created": 1})
    drain(folder, Store())
    spool.write([span()])
    assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
    for path in Path(folder).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


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


def test_a_small_segment_is_counted_by_its_disk_usage(folder):
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
    """Lost: unwritten spans count as spooled, or a drain fails at half a line."""
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
    """Lost: each attempt on a network file system leaves an empty file."""

    def no_locks(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(SpoolError, match="spool_unavailable"):
        spool.write([span()])
    assert list(Path(folder).iterdir()) == []
