"""An empty database, migrated, has exactly the schema of the reference."""

import psycopg2
import pytest

from leo_telemetry_pipeline_tests import conftest, schema_dump
from leo_telemetry_pipeline_tests.servers import DEBIAN, EMBEDDED, Server

pytestmark = pytest.mark.only_on(DEBIAN, EMBEDDED, reason="the schema is the server's, whatever is before it")


def test_an_empty_database_migrated_is_the_reference(server: Server):
    """Lost: the one page that shows the whole schema would tell of another one. `make schema` writes it anew."""
    url = server.direct_url(conftest.without_days(server))
    assert schema_dump.dump(url) == schema_dump.REFERENCE.read_text(encoding="utf-8")


def test_the_reference_can_be_executed(server: Server, empty_database_url: str):
    """Lost: SQL that only looks like SQL, after what depends on the version was taken out."""
    with psycopg2.connect(empty_database_url) as connection, connection.cursor() as cursor:
        cursor.execute(schema_dump.REFERENCE.read_text(encoding="utf-8"))
    connection.close()
    assert schema_dump.dump(empty_database_url) == schema_dump.REFERENCE.read_text(encoding="utf-8")
