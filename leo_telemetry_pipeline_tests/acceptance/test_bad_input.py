"""Bad input: one line that names the thing and the remedy, and never a traceback."""

import gzip
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import builders, processes
from leo_telemetry_pipeline_tests.processes import finished, has_line, run, until

NO_UTF8 = "\udcff"  # how Python decodes a byte that is not UTF-8


# Mistyped arguments, and the words that the message must contain.
MISTYPED = [
    (("thresholds", "disable", "gate", "NOPE"), ("gate:NOPE", "thresholds list")),
    (("thresholds", "enable", "nope"), ("nope", "thresholds list")),
    (("thresholds", "set", "gate", "G", "--baseline-p50-ms", "0"), ("--baseline-p50-ms is 0", "greater than 0")),
    (("thresholds", "set", "gate", "G", "--baseline-p50-ms=-5"), ("--baseline-p50-ms is -5", "greater than 0")),
    (("thresholds", "set", "gate", "G", "--baseline-p50-ms", "nan"), ("--baseline-p50-ms is nan",)),
    (("thresholds", "set", "gate", "G", "--baseline-p50-ms", "1e-400"), ("--baseline-p50-ms",)),
    (("thresholds", "set", "gate", "G", "--multiplier", "0"), ("--multiplier is 0", "greater than 0")),
    (("thresholds", "set", "gate", "G", "--multiplier", "inf"), ("--multiplier is inf",)),
    (("thresholds", "set", "gate", "G", "--min-samples", "0"), ("--min-samples is 0", "greater than 0")),
    (("thresholds", "set", "gate", "G", "--min-samples", "99999999999"), ("--min-samples",)),
    (("thresholds", "set", "gate", "G"), ("--baseline-p50-ms", "--multiplier", "--min-samples")),
    (("thresholds", "set", "gate:G", "--multiplier", "2"), ("gate:G", "after a space")),
    (("thresholds", "set", "", "--multiplier", "2"), ("''",)),
    (("thresholds", "set", "gate", "", "--multiplier", "2"), ("key",)),
    (("thresholds", "set", "gate", NO_UTF8, "--multiplier", "2"), ("UTF-8",)),
    (("import", "/nope/x.jsonl"), ("/nope/x.jsonl", "check its name")),
    (("import", "/"), ("/ ",)),
    (("import", "x" * 300), ("x" * 300,)),
    (("import", __file__, "--preset", "nope"), ("nope", "nezha")),
    (("import", __file__, "--map", "nonsense"), ("nonsense", "OUR_COLUMN=THEIR_COLUMN")),
    (("import", __file__, "--map", "nope=1"), ("nope", "trace_id")),
    (("import", __file__, "--map", "trace_id=TraceID"), (__file__, "span_id")),
    (("import", __file__, "--map", "trace_id=a,trace_id=b"), ("trace_id",)),
    (("runs", "show", "17"), ("17", "leo-telemetry runs")),
    (("runs", "show", "00000000-0000-0000-0000-000000000000"), ("00000000", "leo-telemetry runs")),
    (("runs", "cancel", "00000000-0000-0000-0000-000000000000"), ("00000000", "leo-telemetry runs")),
    (("analyze", "--window-end", "tomorrow"), ("--window-end", "tomorrow", "2026-02-09")),
    (("analyze", "--window-end", "9999-12-31"), ("--window-end", "9999-12-31")),
    (("analyze", "--window-end", "9999-12-31T23:59-12:00"), ("--window-end",)),
    (("analyze", "--window-end", "0001-01-01T00:00+14:00"), ("--window-end",)),
    (("analyze", "--dry-run", "--window-end", "0001-01-02"), ("--window-end",)),
    (("analyze", "--project", NO_UTF8), ("UTF-8",)),
]


@pytest.fixture(scope="module")
def known(make_home: Callable[[Path], Path], short_folder: Path) -> Iterator[Path]:
    """Create a home whose database is migrated and running."""
    home = make_home(short_folder / "known")
    with database.ready(Settings({PREFIX + "HOME": str(home)})) as target, closing(Database(target)) as db:
        builders.succeeded(db)
        yield home


@pytest.mark.parametrize(("arguments", "words"), MISTYPED, ids=[ascii(" ".join(each))[:70] for each, _ in MISTYPED])
def test_a_mistyped_argument_is_named_with_its_remedy(known: Path, arguments: Sequence[str], words: Sequence[str]):
    """Lost: a typo costs an hour, or is reported to us as a bug."""
    done = run(known, *arguments)
    has_line(done, *words)
    assert (done.code, done.out) == (2, "")


def test_a_window_before_all_time_breaks_nothing(made_home: Path):
    """Lost: after one typo, every command and sensor fails forever on the row that it left."""
    done = run(made_home, "analyze", "--window-end", "0001-01-02")
    assert run(made_home, "runs").code == 0
    has_line(done, "--window-end")
    assert (done.code, done.out) == (2, "")


def test_a_run_that_has_ended_cannot_be_cancelled(known: Path):
    """Lost: somebody believes that an analysis was stopped although it had already opened its items."""
    with closing(processes.inside(known)) as db:
        run_id = builders.succeeded(db)
    done = run(known, "runs", "cancel", run_id)
    has_line(done, run_id, "SUCCEEDED")
    assert done.code == 2


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("STALE_AFTER", "soon", ("soon", "7d, 12h, 30m or 45s")),
        ("STALE_AFTER", "0d", ("0d",)),
        ("STALE_AFTER", "7", ("7",)),
        ("STALE_AFTER", "-7d", ("-7d",)),
        ("STALE_AFTER", "99999999999d", ("99999999999d",)),
        ("DEADLINE", "99999999999d", ("99999999999d",)),
        ("MIN_SAMPLES", "many", ("many", "whole number")),
        ("MIN_SAMPLES", "²", ("²", "whole number")),
        ("EXACT_SPANS", "0", ("0", "whole number")),
        ("UI_PORT", "99999", ("99999",)),
        ("ENABLED", "perhaps", ("perhaps", "true or false")),
        ("HOME", "relative/path", ("relative/path", "absolute")),
        ("HOME", "~nosuchuser/x", ("~nosuchuser",)),
    ],
)
@pytest.mark.parametrize("command", ["analyze", "enqueue", "dev"])
def test_a_setting_that_cannot_be_read_is_named(known: Path, command: str, name: str, value: str, words: Sequence[str]):
    """Lost: one wrong letter in a shell profile, and every command fails without naming it."""
    done = finished(processes.command(command), processes.environment(known) | {PREFIX + name: value})
    has_line(done, PREFIX + name, *words)
    assert (done.code, done.out) == (2, "")


@pytest.mark.parametrize("arguments", [("analyze",), ("analyze", "--dry-run"), ("enqueue",), ("dev",), ("worker",)])
def test_commands_that_are_switched_off_say_so(known: Path, arguments: Sequence[str]):
    """Lost: a system that somebody switched off last year looks broken."""
    done = run(known, *arguments, LEO_TELEMETRY_ENABLED="false")
    has_line(done, "LEO_TELEMETRY_ENABLED is false", "unset it")
    assert (done.code, done.out) == (2, "")


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_port_in_use_is_named(known: Path, address: str, way: str):
    """Lost: the page of another program opens, or nothing at all."""
    with socket.socket() as taken:
        taken.bind((address, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        arguments, variables = (["--port", port], {}) if way == "option" else ([], {PREFIX + "UI_PORT": port})
        done = run(known, "dev", *arguments, **variables)
    has_line(done, f"Port {port} is in use", "--port")
    assert (done.code, done.out) == (2, "")


def test_a_file_that_may_not_be_read_is_named(known: Path, short_folder: Path):
    """Lost: an import of forty files ends in a traceback because one belongs to somebody else."""
    loop = short_folder / "loop.jsonl"
    loop.symlink_to(loop)
    done = run(known, "import", str(loop))
    has_line(done, str(loop), "read")
    assert done.code == 2
    prefix = processes.as_ordinary_user()
    if any("dac_" in word for word in prefix) or not prefix:
        return  # the clone is in a private folder, so this user has the capability to read everything
    home = short_folder / "reader"
    home.mkdir()
    os.chown(home, processes.NOBODY, processes.NOBODY)
    secret = short_folder / "secret"
    secret.mkdir(mode=0o700)
    for path in (secret / "spans.jsonl", short_folder / "closed.jsonl"):
        path.touch(mode=0o600)
        done = finished([*prefix, *processes.command("import", str(path))], processes.environment(home, HOME=str(home)))
        has_line(done, str(path), "read")
        assert done.code == 2


def test_a_file_of_something_else_ends_in_one_line_and_with_status_1(known: Path, tmp_path: Path):
    """Lost: a script goes on as if the spans were there, and a conversation is in the quarantine."""
    path = tmp_path / "transcript.jsonl"
    path.write_text('{"type": "user", "sessionId": "1", "uuid": "2", "message": {"content": "fire Alex"}}\n' * 20_000)
    done = run(known, "import", str(path))
    has_line(done, str(path), "no spans in its first 100 lines", "a Claude Code transcript")
    assert (done.code, done.out) == (1, "")
    assert "Alex" not in done.err
    assert run(known, "psql", "-Atc", "SELECT count(*) FROM telemetry_quarantine WHERE content ~ 'Alex'").out == "0\n"


def test_standard_input_is_imported_from_a_pipe(known: Path):
    """Lost: the remedy for every file that must be unpacked first."""
    start = int(time.time() * 1000)
    row = {"trace_id": uuid.uuid4().hex, "span_id": uuid.uuid4().hex, "span_type": "gate", "span_name": "G"}
    packed = gzip.compress(json.dumps(row | {"start_time_ms": start}).encode())
    for count in (1, 0):
        done = subprocess.run(
            processes.command("import", "-"),
            input=packed,
            env=processes.environment(known),
            capture_output=True,
            cwd="/",
            timeout=processes.PATIENCE_S,
        )
        assert done.returncode == 0, done
        assert done.stdout.startswith(f"standard input: {count} span(s) stored".encode())


def test_python_is_not_misled_by_the_folder_it_is_called_in(known: Path, tmp_path: Path):
    """Lost: a command in a downloaded project's folder runs that project's json.py."""
    (tmp_path / "json.py").write_text("raise SystemExit('planted')")
    (tmp_path / ".env").write_text("LEO_TELEMETRY_ENABLED=perhaps")
    done = finished(processes.command("runs"), processes.environment(known), cwd=tmp_path)
    assert done.code == 0, done


def test_a_lost_database_is_reported_in_one_line(make_home: Callable[[Path], Path], short_folder: Path):
    """Lost: the database restarts during a long import, and the user gets a traceback."""
    home = make_home(short_folder / "away")
    big = short_folder / "many.jsonl"
    line = (
        '{"trace_id": "%s", "span_id": "%s", "span_type": "gate", "span_name": "G", "start_time_ms": 1700000000000,'
        ' "end_time_ms": 1700000001000}\n'
    )
    with big.open("w") as file:
        for _ in range(60_000):
            file.write(line % (uuid.uuid4(), uuid.uuid4()))
    with processes.started(home, "import", "--accept-times", str(big)) as process:
        stored = "SELECT count(*) FROM workflow_trace_log"
        until(lambda: processes.answers(home), "the database is up")
        with closing(processes.inside(home)) as db:
            until(lambda: builders.one(db, stored) > 0 or process.process.poll() is not None, "the first are stored")
            builders.execute(db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        code = process.ended()
    assert "Traceback" not in process.said()
    assert process.said().count("\n") == 1, process.said()
    assert code in (0, 3), process.said()
    assert sys.executable not in process.said()
