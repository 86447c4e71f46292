"""History rows read as a stream."""

from contextlib import closing

from leo_telemetry_pipeline.store.history import bucket_counts
from leo_telemetry_pipeline.store.server.database import Database, outside
from leo_telemetry_pipeline_tests.servers import Server


def test_a_stream_has_every_row_of_its_query_and_a_second_one_may_follow(db: Database):
    """Lost: every dimension after the first thousand rows."""
    sql = "SELECT n, 'it''s %%' || n FROM generate_series(1, %(most)s) AS n ORDER BY n"
    with db.transaction() as cursor:
        for most in (2500, 0, 1000):
            rows = list(bucket_counts.stream(cursor, sql, {"most": most}))
            assert rows == [(n, f"it's %{n}") for n in range(1, most + 1)]


def test_names_are_the_same_from_a_database_in_another_encoding(server: Server):
    """Lost: every analysis of an old database in another encoding, once a name has an umlaut."""
    server.administer("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
    try:
        with closing(Database(outside(server.url("latin"), "dagster"))) as db, db.transaction() as cursor:
            assert list(bucket_counts.stream(cursor, "SELECT 'prüfen'::text", None)) == [("prüfen",)]
    finally:
        server.administer("DROP DATABASE latin WITH (FORCE)")
