"""The SQL of every object in force exists as text in one file, complete."""

import re
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from leo_telemetry_pipeline.settings import bundled
from leo_telemetry_pipeline.store.server import migrations, schema_objects
from leo_telemetry_pipeline.store.server.carry_over import FIRST_RELEASE
from leo_telemetry_pipeline_tests.citus import ROOT, SQL, texts

OBJECTS = sorted(f"{kind}/{name}" for kind in ("tables", "functions", "views") for name in schema_objects.names(kind))
_MAKES = re.compile(
    r"^CREATE (?:OR REPLACE )?(?:UNLOGGED )?(TABLE|FUNCTION|VIEW) (\w+)(?! PARTITION OF)\b",
    re.MULTILINE | re.IGNORECASE,
)
_MAKES_FUNCTION_OR_VIEW = re.compile(r"\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE|VIEW)\b", re.IGNORECASE)
_NAMELESS_INSERT = re.compile(r"\bINSERT INTO\s+(?=\S)(?!\S+\s+(?:AS \w+\s+)?\(|\S+ DEFAULT VALUES).{0,60}", re.DOTALL)


def revisions() -> list:
    """Return all revisions as Alembic reads them."""
    return list(ScriptDirectory(str(bundled("migrations"))).walk_revisions())


@pytest.mark.parametrize("name", OBJECTS)
def test_a_file_describes_its_object_in_the_first_line_and_creates_the_object_that_it_is_named_after(name: str):
    """Lost: the text of a function is in another file, or an older text is found."""
    text, (kind, _, own_name) = schema_objects.text(name), name.partition("/")
    assert re.match(r"-- [A-Z].{10,}[.]\n", text)
    assert _MAKES.findall(text) == [(kind[:-1].upper(), own_name)]
    if kind == "tables":
        assert f"COMMENT ON TABLE {own_name} IS" in text
    if kind == "functions":
        assert f"CREATE OR REPLACE FUNCTION {own_name}(" in text
        assert "SET search_path FROM CURRENT" in text
    if kind == "views":
        assert f"CREATE OR REPLACE VIEW {own_name} WITH (security_invoker = true) AS" in text


def test_no_function_or_view_is_defined_anywhere_else():
    """Lost: one function has two texts, and nobody can tell which is in force."""
    code = [*(ROOT / "leo_telemetry_pipeline").rglob("*.py"), *(ROOT / "migrations").rglob("*.py")]
    assert [path.name for path in code for _, text in texts(path) if _MAKES_FUNCTION_OR_VIEW.search(text)] == []
    others = [path for path in (ROOT / "migrations").rglob("*.sql") if path.parent.name not in ("functions", "views")]
    assert [path.name for path in others if _MAKES_FUNCTION_OR_VIEW.search(path.read_text())] == ["schema.sql"]


def test_the_first_revision_applies_every_object_once():
    """Lost: a file describes an object that no database has."""
    [first] = [each.module for each in revisions() if each.revision == FIRST_RELEASE]
    assert sorted(first.OBJECTS) == OBJECTS


def test_a_revision_is_named_after_its_file_and_differs_from_unreleased_ones():
    """Lost: a database would have a version without a file, or be taken for an older one."""
    for each in revisions():
        assert each.revision == Path(each.path).stem
        assert len(each.revision) <= 32, "Alembic's column is not wider"
        assert re.fullmatch(r"\d{4}_\w+", each.revision)
        assert not migrations.is_unreleased(each.revision)
    assert max(each.revision for each in revisions()) == migrations.newest()


def test_every_insert_names_its_columns():
    """Lost: a column that somebody adds shifts the values of all that follow."""
    found = [(path.name, text) for path in sorted(SQL.rglob("*.sql")) for text in [path.read_text(encoding="utf-8")]]
    for path in sorted((ROOT / "leo_telemetry_pipeline").rglob("*.py")):
        found += [(f"{path.name}:{line}", text) for line, text in texts(path)]
    assert [(place, insert[0]) for place, text in found if (insert := _NAMELESS_INSERT.search(text))] == []
    for wrong in ("INSERT INTO t VALUES (1)", "INSERT INTO t AS s VALUES (1)", "INSERT INTO t\n    SELECT a FROM (b)"):
        assert _NAMELESS_INSERT.search(wrong)
