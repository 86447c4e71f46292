"""Starts of the embedded database after a power cut, with stale files whose process ids now belong to others.

Belongs here: leaving such files, starting with them, and what the other processes noticed. Does not: expected times.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.processes import NOBODY, Done, Running, until

# A program that prints each signal it gets and goes on.
_VICTIM = """
import signal, time
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, lambda number, frame: print(signal.Signals(number).name, flush=True))
print("ready", flush=True)
while True:
    time.sleep(60)
"""
HOLD = """
import time
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server import database
with database.ready(Settings()):
    print("ready", flush=True)
    time.sleep(600)
"""
OWN = "the command itself"
PROGRAM = "another program"
SERVER = "another home's server"
OF_ROOT = "a program of root's"
NOTHING = "nothing that runs"
EMPTY, GARBAGE, TORN = "(an empty file)", "(no number)", "another program (a torn file)"
BROKEN = "another program, and a database that cannot start"
ALL = (PROGRAM, SERVER, OF_ROOT, NOTHING, OWN, EMPTY, GARBAGE, TORN, BROKEN)


@dataclass(frozen=True)
class Seen:
    """A start with stale files: whose process id they had, how long it took, and what went wrong."""

    names: str
    took_s: float
    trouble: str


def users() -> list[str]:
    """Return the users that can be tried here."""
    return ["root", "ordinary user"] if os.geteuid() == 0 else ["ordinary user"]


def start_with_each(who: str, folder: Path, kinds: Sequence[str] = ALL) -> list[Seen]:
    """Start with each kind of stale files in a new home, as root or as an ordinary user."""
    with ExitStack() as ends:
        place = _Place(who, folder)
        ends.callback(processes.end_all_of, folder)
        others = {
            PROGRAM: ends.enter_context(place.running("victim", _VICTIM)),
            OF_ROOT: ends.enter_context(_Place("root", folder).running("roots", _VICTIM)),
            SERVER: ends.enter_context(place.running("other", HOLD)),
        }
        pids = {kind: running.process.pid for kind, running in others.items()}
        pids[SERVER] = processes.postmaster(folder / "other")
        pids |= dict.fromkeys((TORN, BROKEN), pids[PROGRAM])
        left = _files_of_a_running_server(place)
        seen = []
        for kind in kinds:
            place.leave(left, kind, pids.get(kind, _ended()))
            began = time.monotonic()
            done = place.start(kind)
            took_s = time.monotonic() - began
            seen.append(Seen(kind, took_s, "; ".join(_troubles(kind, done, others, folder, pids[SERVER]))))
        return seen


class _Place:
    """A home in a folder, and the user who runs commands in it."""

    def __init__(self, who: str, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        folder.chmod(0o755)
        self.prefix = [] if who == "root" else processes.as_ordinary_user()
        self.variables = {}
        if self.prefix:
            os.chown(folder, NOBODY, NOBODY)
            self.variables = {"HOME": str(folder), "PYTHONPATH": processes.open_clone()}

    @contextmanager
    def running(self, home: str, program: str) -> Iterator[Running]:
        """Run a Python program, which prints when it is ready, until the block ends."""
        command = [*self.prefix, sys.executable, "-P", "-c", program]
        environment = processes.environment(self.folder / home, **self.variables)
        running = Running(command, environment, self.folder / f"{home}.log")
        try:
            until(lambda: "ready" in running.said(), f"{home} is ready", by=running)
            yield running
        finally:
            running.process.kill()
            running.process.wait()

    def leave(self, files: dict[Path, list[str]], kind: str, pid: int) -> None:
        """Leave the files of a server that a power cut ended."""
        if kind == BROKEN:
            (self.home / "database" / "global" / "pg_control").unlink()
        owner = (self.home / "database").stat()
        for path, lines in files.items():
            whole = {EMPTY: "", GARBAGE: "?\n", TORN: f"{pid}\n{lines[1]}"}
            path.write_text(whole.get(kind, "\n".join([str(pid), *lines[1:], ""])))
            path.chmod(0o600)
            os.chown(path, owner.st_uid, owner.st_gid)

    def start(self, kind: str) -> Done:
        """Run a command that starts the database."""
        command = processes.command("runs")
        if kind == OWN:
            named = self.home / "database" / "postmaster.pid"
            script = 'rest=$(tail -n +2 "$1"); printf "%s\\n%s\\n" $$ "$rest" > "$1"; shift; exec "$@"'
            command = ["sh", "-c", script, "sh", str(named), *command]
        return processes.finished([*self.prefix, *command], processes.environment(self.home, **self.variables))


def _files_of_a_running_server(place: _Place) -> dict[Path, list[str]]:
    """Return the contents of a running server's files, to be left there once it does not run."""
    with place.running("home", HOLD) as holder:
        files = [place.home / "database" / "postmaster.pid", place.home / "run" / ".s.PGSQL.5432.lock"]
        lines = {path: path.read_text().splitlines() for path in files}
        holder.interrupt()
        holder.ended()
    return lines


def _troubles(kind: str, done: Done, others: dict[str, Running], folder: Path, server: int) -> Iterator[str]:
    if done.code != (3 if kind == BROKEN else 0):
        yield f"exit status {done.code}: {done.err.strip()[-300:]}"
    for name in (PROGRAM, OF_ROOT):
        signals = others[name].said().split()[1:]
        if signals or others[name].process.poll() is not None:
            yield f"{name} got {signals or 'killed'}"
    if server not in processes.processes_of(folder / "other") or not processes.answers(folder / "other"):
        yield f"{SERVER} was ended"


def _ended() -> int:
    """Return the id of an ended process."""
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    return process.pid
