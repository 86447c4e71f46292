"""Failures of the embedded server's programs: one line with cause and remedy."""

from pathlib import Path

import pytest

from leo_telemetry_pipeline.store.server import server_failures
from leo_telemetry_pipeline.store.server.server_failures import message

HOME = Path("/srv/leo")
PLENTY = 10**12

# What PostgreSQL 16 and 18 wrote, cause and consequences.
BIND = """\
2026-11-29 20:00:00.000 UTC [7] LOG:  starting PostgreSQL 18.4 on x86_64-pc-linux-gnu
2026-11-29 20:00:00.001 UTC [7] LOG:  could not bind Unix address "/srv/leo/run/.s.PGSQL.5432": Address already in use
2026-11-29 20:00:00.001 UTC [7] HINT:  Is another postmaster already running on port 5432? If not, remove socket file.
2026-11-29 20:00:00.001 UTC [7] WARNING:  could not create Unix-domain socket in directory "/srv/leo/run"
2026-11-29 20:00:00.001 UTC [7] FATAL:  could not create any Unix-domain sockets
2026-11-29 20:00:00.002 UTC [7] LOG:  database system is shut down
pg_ctl: could not start server
Examine the log output.
"""
FULL = """\
running bootstrap script ... 2026-11-29 20:00 UTC [9] FATAL:  could not write "pg_wal/x": No space left on device
child process exited with exit code 1
initdb: removing data directory "/srv/leo/database.new.7"
"""
SHARED = """\
2026-11-29 20:00 UTC [7] FATAL:  could not resize shared memory segment "/PostgreSQL.31": No space left on device
pg_ctl: could not start server
"""
MEMORY = """\
2026-11-29 20:00:00 UTC [7] FATAL:  could not map anonymous shared memory: Cannot allocate memory
2026-11-29 20:00:00 UTC [7] HINT:  This error usually means that PostgreSQL's request exceeded available memory.
pg_ctl: could not start server
"""
RUNS = """\
2026-11-29 20:00:00 UTC [7] FATAL:  lock file "postmaster.pid" already exists
2026-11-29 20:00:00 UTC [7] HINT:  Is another postmaster (PID 4) running in data directory "/srv/leo/database"?
pg_ctl: could not start server
"""
NAMELESS = "initdb: error: could not look up effective user ID 12345: user does not exist\n"
LIBRARY = "initdb: /lib/x86_64-linux-gnu/libm.so.6: version `GLIBC_2.29' not found (required by initdb)\n"
UNKNOWN = """\
2026-11-29 20:00:00 UTC [7] FATAL:  something that nobody has seen
2026-11-29 20:00:00 UTC [7] HINT:  Try the other one.
pg_ctl: could not start server
"""

SETTINGS, DAMAGE = "; correct /srv/leo/database/postgresql.conf", "; its files are damaged or incomplete"
MISSING = "No such file or directory"


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (f'could not access file "pg_stat_statements": {MISSING}', SETTINGS),
        (f'could not access file "/usr/lib/postgresql/citus.so": {MISSING}', SETTINGS),
        (f'could not load server certificate file "server.crt": {MISSING}', SETTINGS),
        (f'could not open configuration file "/srv/leo/database/more.conf": {MISSING}', SETTINGS),
        ("could not load /srv/leo/database/pg_hba.conf", SETTINGS),
        (f'could not open log file "/srv/pg_logs/postgresql-2026-11-29_200000.log": {MISSING}', SETTINGS),
        ('data directory "/srv/elsewhere" does not exist', SETTINGS),
        (f'could not open directory "pg_notify": {MISSING}', DAMAGE),
        (f'could not open file "base/5/1259": {MISSING}', DAMAGE),
        (f'could not open file "/srv/leo/database/global/pg_filenode.map": {MISSING}', DAMAGE),
        ('required WAL directory "pg_wal" does not exist', DAMAGE),
        ("could not access status of transaction 752", DAMAGE),
        ('"/srv/leo/database" is not a valid data directory', DAMAGE),
        (f'could not open file "/srv/pg_backup/x": {MISSING}', " (see"),
    ],
)
def test_only_a_missing_file_of_the_database_itself_is_reported_as_damage(said: str, advice: str):
    """Lost: the owner moves a database away, although only a line of postgresql.conf is wrong."""
    log = f"2026-11-29 20:00:00.000 UTC [7] FATAL:  {said}\n2026-11-29 20:00:00.001 UTC [7] LOG:  shut down\n"
    assert f"failed: FATAL: {said}{advice}" in message("pg_ctl", log, HOME, PLENTY)


def test_a_server_that_does_not_find_its_control_file_is_damaged():
    """Lost: the remedy, because PostgreSQL reports this error without time, level and hint."""
    said = "postgres: could not find the database system\nExpected to find it in the directory"
    assert DAMAGE in message("pg_ctl", said, HOME, PLENTY)


@pytest.mark.parametrize(
    ("said", "cause", "advice"),
    [
        (BIND, 'could not bind Unix address "/srv/leo/run/.s.PGSQL.5432": Address already in use', "/srv/leo/run"),
        (FULL, "No space left on device", "make room"),
        (SHARED, "could not resize shared memory segment", "--shm-size"),
        (MEMORY, "could not map anonymous shared memory: Cannot allocate memory", "256 MB"),
        (RUNS, 'lock file "postmaster.pid" already exists', "end the other PostgreSQL"),
        (NAMELESS, "could not look up effective user ID 12345", "/etc/passwd"),
        (LIBRARY, "GLIBC_2.29", "LEO_TELEMETRY_DATABASE_URL"),
        (UNKNOWN, "something that nobody has seen", "Try the other one."),
    ],
)
def test_the_cause_is_reported_with_its_remedy(said: str, cause: str, advice: str):
    """Lost: an evening per failure, because different failures have the same message."""
    line = message("pg_ctl", said, HOME, PLENTY)
    assert cause in line
    assert advice in line
    assert "/srv/leo/postgresql.log" in line
    assert "\n" not in line
    assert "UTC [" not in line


def test_a_full_disk_is_reported_although_it_takes_no_log():
    """Lost: the cause, because the log that should have it is on the full disk."""
    assert "make room" in message("initdb", "", HOME, 4096)
    after = f"{FULL}2026-11-29 20:00 UTC [9] PANIC:  cannot abort transaction 1, it was already committed\n"
    assert "No space left on device; make room" in message("initdb", after, HOME, PLENTY)
    assert "does not shut down; only 9 MB" in message("pg_ctl", "pg_ctl: server does not shut down\n", HOME, 9_000_000)
    assert "only 50 MB are free" in message("pg_ctl", UNKNOWN.replace("HINT", "LOG"), HOME, 50_000_000)


def test_without_output_the_log_is_named():
    """Lost: people see "failed", and no place to look."""
    assert message("pg_ctl", "", HOME, PLENTY) == "pg_ctl of the embedded database failed (see /srv/leo/postgresql.log)"
    assert server_failures.cause_of("LOG:  all is well\n") == ("", "")
