"""The database as a program that is measured sees it: spans go in, nothing is started, no wait is long.

Belongs here: what a writer hands its batches to. Does not: when it does so, and what happens meanwhile (collect).
"""

import os
import socket
from collections.abc import Mapping, Sequence

import psycopg2

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import open_spans, spans
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.writer.sink import Unavailable

CONNECT_TIMEOUT_S = 2


class DatabaseSink:
    """One connection for one writer; every method but ``abort`` is called by one thread."""

    def __init__(self, connection: Database) -> None:
        self._database = connection
        self._host = socket.gethostname()
        self._announces = True

    def store(self, batch: Sequence[Span], removed: Mapping[str, int]) -> spans.Stored:
        """Store spans once each. Raises Unavailable when none of them can be."""
        try:
            return spans.store(self._database, batch, removed)
        except (psycopg2.Error, UserError) as error:
            raise self._unavailable(error) from None

    def announce(self, opened: Sequence[Span], ended: Sequence[tuple[str, str]]) -> None:
        """Tell what is still open, and what of it ended. Raises Unavailable."""
        if not self._announces:
            return
        try:
            open_spans.announce(self._database, opened, ended, host=self._host, pid=os.getpid())
        except (psycopg2.OperationalError, psycopg2.InterfaceError, UserError) as error:
            raise self._unavailable(error) from None
        except psycopg2.Error:
            # Its table is missing, or closed to this user: that is no reason to keep spans from theirs.
            self._announces = False

    def abort(self) -> None:
        """End what is under way, from another thread."""
        self._database.cut()

    def close(self) -> None:
        """Give the connection back."""
        self._database.close()

    def _unavailable(self, error: Exception) -> Unavailable:
        self._database.close()
        return Unavailable(type(error).__name__)


def connect(settings: Settings) -> DatabaseSink:
    """Return a sink on a database that answers. Raises Unavailable."""
    try:
        connection = Database(database.running(settings), timeout_s=CONNECT_TIMEOUT_S)
        with connection.transaction():
            pass
    except (psycopg2.Error, UserError, OSError) as error:
        raise Unavailable(type(error).__name__) from None
    return DatabaseSink(connection)
