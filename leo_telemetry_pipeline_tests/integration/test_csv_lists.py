"""Lists of the dashboard as CSV, with a real database."""

import csv
import io
from datetime import timedelta

import pytest

from leo_telemetry_pipeline.actions import items as planning
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import items
from leo_telemetry_pipeline.store.items import SYSTEM, Transition
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline.web.dashboard import api
from leo_telemetry_pipeline.web.dashboard.registered import PAGES, STEPS
from leo_telemetry_pipeline_tests.builders import (
    analyse_queued,
    back_date,
    configure,
    insert,
    midnight,
    spans_of,
    succeeded,
)
from leo_telemetry_pipeline_tests.dashboard_client import Browser
from leo_telemetry_pipeline_tests.directive_builders import FOUND
from leo_telemetry_pipeline_tests.hostile_names import HOSTILE

LISTS = ("items", "dimensions", "directives", "runs", "thresholds")
FORMULAS = ['=HYPERLINK("http://h")', "+1+1", "-2+3", "@SUM(A1)", " =1", "\t=1", "\r\n=1", "\uff1d1", 'a"b,c;d', "a\nb"]
NAMES = [*FORMULAS, *(name for name in HOSTILE if name.strip() and "\x00" not in name and "\ud800" not in name)]


@pytest.fixture
def dashboard(settings: Settings, target: Target) -> Browser:
    return Browser(settings, target)


def rows(dashboard: Browser, name: str, query: str = "") -> list[dict[str, str]]:
    """Return the rows of a list by the names of its columns."""
    answer = dashboard.get(f"/api/v1/{name}.csv{query}")
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}.csv"
    return list(csv.DictReader(io.StringIO(answer.html, newline=""), strict=True))


def opened(db: Database, key: str) -> None:
    """Open an item as an analysis does."""
    end = midnight(1)
    draft = planning.worded(FOUND | {"dimension_key": key}, None, "a-run", end - timedelta(days=7), end)
    with db.transaction() as cursor:
        items.write(cursor, draft, Transition("", "", "OPEN", end, end, SYSTEM, draft.title))


def test_every_list_is_offered_as_csv_and_has_its_columns_even_when_empty(dashboard: Browser):
    """Lost: people copy a list from the page by hand."""
    described = api.document(PAGES, STEPS)["paths"]
    for name in LISTS:
        head = dashboard.get(f"/api/v1/{name}.csv").html
        assert head.endswith("\r\n")
        assert head.count("\r\n") == 1
        assert "text/csv" in described[f"/api/v1/{name}.csv"]["get"]["responses"]["200"]["content"]


def test_a_file_holds_the_whole_list_of_the_page_as_it_is_filtered(dashboard: Browser, db: Database):
    """Lost: a file that ends where the page ends, which nobody notices."""
    for number in range(55):
        back_date(db, succeeded(db), "triggered_at", f"{1 + number} hours")
    for number in range(60):
        configure(db, "gate", f"G{number:02d}", 100, 2)
    found = rows(dashboard, "runs")
    assert len({row["id"] for row in found}) == len(found) == 55
    assert {row["state"] for row in found} == {"succeeded"}
    assert rows(dashboard, "runs", "?state=failed") == []
    found = rows(dashboard, "thresholds")
    assert [row["dimension"] for row in found] == [f"gate:G{number:02d}" for number in range(60)]
    assert {(row["configured_p50_ms"], row["configured_multiplier"]) for row in found} == {("100.0", "2.0")}
    assert len(rows(dashboard, "thresholds", "?text=G1")) == 10
    assert 'href="/api/v1/thresholds.csv?text=G1" download' in dashboard.page("/thresholds", text="G1").html


def test_no_name_is_a_formula_or_breaks_its_line(dashboard: Browser, db: Database):
    """Lost: a sender of spans runs formulas in the spreadsheets of people who save a list."""
    for name in NAMES:
        configure(db, "gate", name, 1, 2)
        insert(db, spans_of("gate", name, [100] * 10))
        opened(db, name)
    # A type is the first part of a name, so a formula can only begin a name there.
    insert(db, spans_of("=1", "x", [100] * 10))
    analyse_queued(db)
    found = {name: rows(dashboard, name) for name in LISTS}
    for name in ("items", "dimensions", "thresholds"):
        assert len(found[name]) >= len(NAMES)
    cells = [cell for of_list in found.values() for row in of_list for cell in row.values()]
    assert "'=1:x" in cells
    for cell in cells:
        assert cell == "".join(letter for letter in cell if letter.isprintable())
        assert not cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"))


def test_problems_are_answered_before_a_file_begins(dashboard: Browser):
    """Lost: a file that holds an error message instead of rows."""
    for name in LISTS:
        answer = dashboard.get(f"/api/v1/{name}.csv?after=x")
        assert (answer.status, answer.headers["content-type"]) == (404, "application/json"), name
