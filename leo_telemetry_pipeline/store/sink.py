"""PostgreSQL sink of a writer: starts no server and limits every wait.

Belongs here: the implementation of writer.sink.Sink. Does not: when the writer calls it (writer).
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
    """Connection of one writer; only ``abort`` is called by another thread."""

    def __init__(self, connection: Database) -> None:
        self._database = connection
        self._host = socket.gethostname()
        self._announces = True

    def store(self, batch: Sequence[Span], removed: Mapping[str, int]) -> spans.Stored:
        """Store each span once. Raises Unavailable if none can be stored."""
        try:
            return spans.store(self._database, batch, removed)
        except (psycopg2.Error, UserError) as error:
            raise self._unavailable(error) from None

    def announce(self, opened: Sequence[Span], ended: Sequence[tuple[str, str]]) -> None:
        """Publish open spans and withdraw ended ones. Raises Unavailable."""
        if not self._announces:
            return
        try:
            open_spans.announce(self._database, opened, ended, host=self._host, pid=os.getpid())
        except (psycopg2.OperationalError, psycopg2.InterfaceError, UserError) as error:
            raise self._unavailable(error) from None
        except psycopg2.Error:
            # The table is missing or this user lacks the right: only store spans from now on.
            self._announces = False

    def abort(self) -> None:
        """Abort the call in progress, from another thread."""
        self._database.cut()

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def _unavailable(self, error: Exception) -> Unavailable:
        self._database.close()
        return Unavailable(type(error).__name__)


def connect(settings: Settings) -> DatabaseSink:
    """Return a sink with an open connection. Raises Unavailable."""
    try:
        connection = Database(database.running(settings), timeout_s=CONNECT_TIMEOUT_S)
        with connection.transaction():
            pass
    except (psycopg2.Error, UserError, OSError) as error:
        raise Unavailable(type(error).__name__) from None
    return DatabaseSink(connection)
