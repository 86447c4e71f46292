"""Rows that arrive by COPY, beside the same rows as a cursor gives them."""

from contextlib import closing

from leo_telemetry_pipeline.store.history import binary_copy
from leo_telemetry_pipeline.store.history.binary_copy import _Arriving
from leo_telemetry_pipeline.store.server.database import Database, outside
from leo_telemetry_pipeline_tests.servers import Server

SQL = """
SELECT DATE '2000-01-01' + n, n::bigint * -1000000007, n / 7::float8, CASE WHEN n %% 3 > 0 THEN repeat('ü%%', n) END,
       decode(repeat('00ff0a', n), 'hex'), %(word)s::text
FROM generate_series(0, 40) AS n ORDER BY n
"""
WORD = {"word": "it's a \\ and a %s"}
Row = tuple[int, int, float, bytes | None, bytes | None, bytes | None]


def expected(db: Database) -> list[Row]:
    return [
        (day.toordinal() - 730_120, number, part, None if text is None else text.encode(), bytes(data), word.encode())
        for day, number, part, text, data, word in db.rows(SQL, WORD)
    ]


def test_each_field_arrives_as_a_cursor_would_give_it(db: Database):
    """Lost: histories with other numbers than the database has."""
    found: list[tuple] = []
    with db.transaction() as cursor:
        binary_copy.rows(cursor, SQL, WORD, "iqd", 3, lambda fixed, more: found.append((*fixed, *map(_bytes, more))))
    assert found == expected(db)
    assert None in {row[3] for row in found}


def test_rows_may_arrive_in_pieces_of_any_length(db: Database, monkeypatch):
    """Lost: a row that came in two pieces, on a line that cuts anywhere."""
    pieces: list[bytes] = []
    whole = _Arriving.write
    monkeypatch.setattr(_Arriving, "write", lambda self, piece: pieces.append(piece) or len(piece))
    with db.transaction() as cursor:
        binary_copy.rows(cursor, SQL, WORD, "iqd", 3, lambda fixed, more: None)
    monkeypatch.setattr(_Arriving, "write", whole)
    sent = b"".join(pieces)
    for size in (1, 2, 7, 19, 20, 100, len(sent)):
        found: list[tuple] = []
        arriving = _Arriving(
            binary_copy.fixed_columns("iqd"), 3, lambda fixed, more, to=found: to.append((*fixed, *map(_bytes, more)))
        )
        for at in range(0, len(sent), size):
            assert arriving.write(sent[at : at + size]) == len(sent[at : at + size])
        assert found == expected(db), size


def test_names_are_the_same_from_a_database_in_another_encoding(server: Server):
    """Lost: every analysis of a database that was made long ago, to the first name with an umlaut."""
    server.administer("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
    try:
        with closing(Database(outside(server.url("latin"), "dagster"))) as db, db.transaction() as cursor:
            found: list[bytes | None] = []
            binary_copy.rows(
                cursor, "SELECT 1, 'prüfen'::text", None, "i", 1, lambda _, more: found.extend(map(_bytes, more))
            )
            assert found == ["prüfen".encode()]
    finally:
        server.administer("DROP DATABASE latin WITH (FORCE)")


def test_no_rows_are_none(db: Database):
    """Lost: the first analysis of an empty database."""
    with db.transaction() as cursor:
        binary_copy.rows(cursor, "SELECT 1::bigint, 'text' WHERE false", None, "q", 1, lambda *row: 1 / 0)


def _bytes(field: memoryview | None) -> bytes | None:
    return None if field is None else bytes(field)
