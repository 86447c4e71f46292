"""The bare queries of a page: recorded once, then sent by themselves.

Belongs here: recording and sending. Does not: pages, measurements.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from leo_telemetry_pipeline.store.server.database import Database


class Recorder(Database):
    """Records the queries of a page, so that they can be sent by themselves."""

    def __init__(self, target: Any) -> None:
        super().__init__(target)
        self.queries: list[bytes] = []

    @contextmanager
    def transaction(self, **named: Any) -> Iterator[Any]:
        """Yield a cursor that records."""
        with super().transaction(**named) as cursor:
            # Within another transaction, it records already.
            yield cursor if isinstance(cursor, _Cursor) else _Cursor(cursor, self.queries)

    def send(self) -> None:
        """Send the recorded queries, and read all rows."""
        with Database.transaction(self) as cursor:
            for query in self.queries:
                cursor.execute(query)
                cursor.fetchall()


class _Cursor:
    def __init__(self, cursor: Any, queries: list[bytes]) -> None:
        self._cursor, self._queries = cursor, queries

    def execute(self, sql: str, parameters: Any = None) -> None:
        """Execute and record a statement."""
        self._cursor.execute(sql, parameters)
        if self._cursor.description:
            self._queries.append(self._cursor.query)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)
