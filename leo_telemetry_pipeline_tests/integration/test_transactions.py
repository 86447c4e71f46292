"""Transactions of a connection, alone and together."""

import psycopg2
import pytest

from leo_telemetry_pipeline.store.server.database import Database

_NUMBER = "SELECT pg_current_xact_id()::text"


def test_transactions_are_one_where_they_are_wanted_together(db: Database):
    """Lost: a page of ten queries takes thirty round trips to a server in another building."""
    with db.together():
        assert db.rows(_NUMBER) == db.rows(_NUMBER)
    assert db.rows(_NUMBER) != db.rows(_NUMBER)


def test_an_error_in_one_of_them_undoes_all_and_leaves_the_connection_usable(db: Database):
    """Lost: a page that failed keeps half of what it wrote, or every later page fails too."""

    def half_done() -> None:
        with db.together():
            db.rows("SELECT set_config('leo_telemetry.half', 'done', false)")
            db.rows("SELECT 1 / 0")

    with pytest.raises(psycopg2.errors.DivisionByZero):
        half_done()
    assert db.rows("SELECT coalesce(current_setting('leo_telemetry.half', true), '')") == [("",)]
    assert db.rows(_NUMBER) != db.rows(_NUMBER)
