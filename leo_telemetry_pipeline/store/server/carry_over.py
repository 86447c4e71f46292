"""Carry-over: bring a database of an unreleased version to the first release, with all its rows.

Belongs here: what only such databases need, until none are left. Does not: migrations between releases.
"""

from leo_telemetry_pipeline.settings import bundled
from leo_telemetry_pipeline.store.server import schema_objects
from leo_telemetry_pipeline.store.server.migrations import (
    apply,
    close,
    describe,
    exists,
    is_unreleased,
    rows,
    run_sql,
    version,
)

FIRST_RELEASE = "0001_schema"
# Since this version, objects are closed to roles that are not granted them by name.
_CLOSED = "0007"


def carry_over(connection) -> None:
    """Change tables in place, replace functions and views, and set the version; grants by name stay.

    Does nothing to a database of a released version. Runs in Alembic's transaction.
    """
    has = version(connection)
    if has is None or not is_unreleased(has):
        return
    objects = _objects()
    # The scripts come before the comments on today's tables, which name columns that they add.
    run_sql(schema_objects.text("unreleased") + schema_objects.text("microseconds"))
    existing = [name for name in objects if exists(name)]
    kept = [name for name in existing if name.startswith("tables/")]
    apply(*(name for name in objects if name not in kept))
    run_sql(schema_objects.text("item_life") + schema_objects.text("signed_thresholds"))
    describe(*kept)
    if has < _CLOSED:
        for name in [*existing, *_partitions(), "tables/alembic_version"]:
            close(name)
    run_sql(f"UPDATE alembic_version SET version_num = '{FIRST_RELEASE}'")


def _objects() -> tuple[str, ...]:
    from alembic.script import ScriptDirectory

    return ScriptDirectory(bundled("migrations")).get_revision(FIRST_RELEASE).module.OBJECTS


def _partitions() -> list[str]:
    found = rows("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'workflow_trace_log'::regclass")
    return [f"tables/{name}" for (name,) in found]
