"""Log files that other processes append to: their size is limited."""

from pathlib import Path

import pytest

from leo_telemetry_pipeline.store.server import log_files


def test_a_large_log_is_truncated_at_the_start_of_a_line(tmp_path: Path):
    """Lost: the disk fills with our logs, or the newest lines are missing."""
    log = tmp_path / "hook.log"
    lines = [f"line {number:07}" for number in range(120_000)]
    log.write_text("\n".join(lines) + "\n")
    with log.open("a") as appending:
        log_files.cut(log)
        appending.write("and on\n")
    kept = log.read_text().splitlines()
    assert kept[-1] == "and on"
    assert kept[:-1] == lines[-len(kept) + 1 :]
    assert 200_000 < log.stat().st_size <= (1 << 18) + 10
    before = log.read_bytes()
    log_files.cut(log)
    assert log.read_bytes() == before


def test_a_link_in_place_of_a_log_is_not_followed(tmp_path: Path):
    """Lost: another user's file, truncated by root through a planted link."""
    other = tmp_path / "theirs"
    other.write_text("x" * (2 * log_files.LONGEST))
    (tmp_path / "hook.log").symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        log_files.cut(tmp_path / "hook.log")
    assert other.stat().st_size == 2 * log_files.LONGEST
