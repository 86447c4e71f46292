"""Reading for pages."""

import asyncio

import psycopg2
import pytest

from leo_telemetry_pipeline.store.server.database import Target
from leo_telemetry_pipeline.web.dashboard.reading import DatabaseGone, Reader


@pytest.mark.parametrize("error", [psycopg2.DatabaseError, psycopg2.OperationalError, psycopg2.InterfaceError])
def test_a_connection_that_breaks_means_that_the_database_is_away(error: type[psycopg2.Error]):
    """Lost: an outage looks like a mistake of ours, on a page that never tries again."""

    def read(_database: object) -> None:
        raise error("server closed the connection unexpectedly")

    reader = Reader(Target("", "", ""))
    with pytest.raises(DatabaseGone):
        asyncio.run(reader.read(read))
    reader.close()


def test_a_mistake_in_a_statement_is_not_taken_for_an_outage():
    """Lost: a page that asks for itself again and again, and nothing in the log."""

    def read(_database: object) -> None:
        raise psycopg2.ProgrammingError("syntax error")

    reader = Reader(Target("", "", ""))
    with pytest.raises(psycopg2.ProgrammingError):
        asyncio.run(reader.read(read))
    reader.close()
