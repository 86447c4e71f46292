"""Reading for pages: a few database connections, each used by one thread at a time.

Belongs here: threads, connections, and noticing that the database is away. Does not: queries (store), pages.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Concatenate, ParamSpec, TypeVar

import psycopg2

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store.server.database import SERVER_GONE, Database, Target

# Few, so that pages leave most of the server's connections and of the interpreter's time to the receiver.
_THREADS = 4
_CONNECT_S = 3
_LONGEST_S = 15.0

_P = ParamSpec("_P")
_T = TypeVar("_T")


class DatabaseGone(Exception):
    """The database does not answer now."""


class Reader:
    """Runs functions of the store in threads, each with a connection of its own for the time of the call."""

    def __init__(self, target: Target) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "dashboard")
        self._idle: SimpleQueue[Database] = SimpleQueue()
        for _ in range(_THREADS):
            self._idle.put(Database(target, timeout_s=_CONNECT_S))

    async def read(self, function: Callable[Concatenate[Database, _P], _T], *args: _P.args, **named: _P.kwargs) -> _T:
        """Call a function with a connection and the arguments. Raises DatabaseGone, also if it takes too long."""
        in_use: list[Database] = []
        call = asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: self._call(in_use, lambda database: function(database, *args, **named))
        )
        try:
            return await asyncio.wait_for(asyncio.shield(call), _LONGEST_S)
        except TimeoutError:
            # A pooler holds requests while its server is away: without this, the thread would wait with it.
            for database in in_use:
                database.cut()
            call.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise DatabaseGone from None

    def _call(self, in_use: list[Database], function: Callable[[Database], _T]) -> _T:
        database = self._idle.get()
        in_use.append(database)
        try:
            return function(database)
        except (psycopg2.Error, UserError) as error:
            database.close()
            if type(error).__name__ not in SERVER_GONE:
                raise
            raise DatabaseGone from error
        finally:
            in_use.clear()
            self._idle.put(database)

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        while not self._idle.empty():
            self._idle.get().close()
