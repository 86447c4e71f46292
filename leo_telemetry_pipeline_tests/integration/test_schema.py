"""A migrated empty database has exactly the schema of the reference."""

import psycopg2
import pytest

from leo_telemetry_pipeline_tests import conftest, schema_dump
from leo_telemetry_pipeline_tests.servers import DEBIAN, EMBEDDED, Server

pytestmark = pytest.mark.only_on(DEBIAN, EMBEDDED, reason="a pooler does not change the schema")


def test_an_empty_database_migrated_is_the_reference(server: Server):
    """Lost: migrations/schema.sql would describe another schema. `make schema` rewrites it."""
    url = server.direct_url(conftest.without_days(server))
    assert schema_dump.dump(url) == schema_dump.REFERENCE.read_text(encoding="utf-8")


def test_the_reference_can_be_executed(server: Server, empty_database_url: str):
    """Lost: the reference would be invalid SQL once version-dependent parts are removed."""
    with psycopg2.connect(empty_database_url) as connection, connection.cursor() as cursor:
        cursor.execute(schema_dump.REFERENCE.read_text(encoding="utf-8"))
    connection.close()
    assert schema_dump.dump(empty_database_url) == schema_dump.REFERENCE.read_text(encoding="utf-8")
