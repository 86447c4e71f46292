"""A database that runs a function between two of our statements."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from leo_telemetry_pipeline.store.server.database import Database, Target


class Between(Database):
    """A database that calls ``act`` just before the first statement that contains some words."""

    def __init__(self, target: Target, words: str, act) -> None:
        super().__init__(target)
        self._words, self._act = words, act

    @contextmanager
    def transaction(self, *, seconds: float = 300, consistent: bool = False) -> Iterator[Any]:
        with super().transaction(seconds=seconds, consistent=consistent) as cursor:
            yield _Watched(cursor, self)

    def before(self, sql: str) -> None:
        if self._act is not None and self._words in sql:
            act, self._act = self._act, None
            act()


class _Watched:
    def __init__(self, cursor: Any, database: Between) -> None:
        self._cursor, self._database = cursor, database

    def execute(self, sql: str | bytes, parameters: Any = None) -> None:
        self._database.before(sql if isinstance(sql, str) else sql.decode())
        self._cursor.execute(sql, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)
