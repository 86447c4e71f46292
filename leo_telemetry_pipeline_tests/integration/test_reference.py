"""docs/schema.md matches the catalog of a migrated database."""

from leo_telemetry_pipeline.store.server.database import Database
from tools import reference


def test_the_schema_reference_matches_a_migrated_database(db: Database) -> None:
    """Lost: people write queries with removed columns, or never learn of new ones."""
    written = reference.SCHEMA.read_text(encoding="utf-8")
    assert written == reference.schema_reference(db), "run `make reference` and commit docs/schema.md"
