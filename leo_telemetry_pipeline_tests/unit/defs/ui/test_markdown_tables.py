"""Asset pages with hostile names: tables and charts show them literally."""

import base64
import re
from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from types import MappingProxyType
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from leo_telemetry_pipeline.actions.inert import in_a_line
from leo_telemetry_pipeline.analysis import trends
from leo_telemetry_pipeline.analysis.changes import ChangePoint, day_number
from leo_telemetry_pipeline.analysis.compare import Comparison, Difference, Estimate
from leo_telemetry_pipeline.analysis.forecast import Forecast
from leo_telemetry_pipeline.analysis.trends import DimensionChanges
from leo_telemetry_pipeline.defs import checks
from leo_telemetry_pipeline.defs.ui import charts, markdown_tables
from leo_telemetry_pipeline.dimension import DimensionResult, ExplainedCause, Suggestion
from leo_telemetry_pipeline.store.history.span_counts import SpanCount
from leo_telemetry_pipeline_tests.hostile_names import HOSTILE

# PostgreSQL stores neither empty names nor lone surrogates.
NAMES = [name for name in HOSTILE if name and name != "\ud800"]
TODAY = date(2026, 3, 1)
SURE = Estimate(1.0, 0.5, 2.0)
DAY = day_number(TODAY)
CHANGE = ChangePoint(DAY, DAY, DAY, 1.0, 2.0, 2.0, 9.0, 0.01)
ROW = MappingProxyType(dict.fromkeys(("p50_ms", "p90_ms", "p99_ms"), 2.0) | {"sample_count": 20})


def frame(names: tuple[str, ...]) -> pd.DataFrame:
    """Return one row per name, with all columns of the tables."""
    return pd.DataFrame([{"dimension_type": "gate", "dimension_key": name, **ROW} for name in names])


def judged(names: tuple[str, ...]) -> list[DimensionResult]:
    """Return one bottleneck per name."""
    measured = (20, 4.0, 4.0, 4.0, 4.0, 80.0, None, "exact")
    return [DimensionResult("gate", name, *measured, 4.0, 2.0, "learned", 1.5, 10, "bottleneck") for name in names]


def comparison() -> Comparison:
    """Return a comparison of two sides."""
    p50, p90 = (Difference(quantile, 1.0, 2.0, SURE, SURE, "slower") for quantile in (0.5, 0.9))
    return Comparison(9, 9, 9, 9, True, p50, p90)


def cause(name: str) -> ExplainedCause:
    """Return a cause with a name in all its texts."""
    return ExplainedCause("gate", name, 1.0, name, [], [name, name], value=name)


TABLES: dict[str, Callable[[tuple[str, ...]], str]] = {
    "worst": lambda names: markdown_tables.worst_table(judged(names)),
    "medians": lambda names: markdown_tables.p50_table(frame(names)),
    "changes": lambda names: markdown_tables.change_table({("gate", name): [CHANGE] for name in names}),
    "dimension changes": lambda names: markdown_tables.dimension_change_table(
        names, [DimensionChanges((CHANGE,), (CHANGE,))] * len(names)
    ),
    "comparisons": lambda names: markdown_tables.comparison_table(
        [(name, comparison()) for name in names], "All days."
    ),
    "causes": lambda names: markdown_tables.cause_table([cause(name) for name in names]),
    "forecasts": lambda names: markdown_tables.forecast_table(
        [Forecast("gate", name, 7, 9, 0.5, 1, 1, 1) for name in names]
    ),
    "thresholds": lambda names: markdown_tables.suggestion_table(
        [Suggestion("gate", name, "CONFIGURED", 1.0, 2.0, 1.0, 3.0, 1.0, 1.0) for name in names]
    ),
    "days": lambda names: markdown_tables.day_table([SpanCount(name, TODAY, 3, 3) for name in names]),
}


def cells_of(markdown_text: str) -> list[tuple[tuple[str, str], ...]]:
    """Parse a Markdown table, and return the types and texts of the tokens of each cell."""
    parsed = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown_text)
    return [
        tuple((leaf.type, leaf.content) for leaf in each.children or []) for each in parsed if each.type == "inline"
    ]


@cache
def plain_cells(table: str) -> list[tuple[tuple[str, str], ...]]:
    """Return the cells of a table with an ordinary name."""
    return cells_of(TABLES[table](("NAME",)))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", NAMES)
def test_a_table_with_a_hostile_name_equals_one_with_an_ordinary_name(table: str, name: str):
    """Lost: a reader's browser fetches a URL from the name of a span."""
    plain, hostile = plain_cells(table), cells_of(TABLES[table]((name,)))
    assert len(hostile) == len(plain)
    for cell, wanted in zip(hostile, plain, strict=True):
        if not any("NAME" in text for _, text in wanted):
            assert cell == wanted
            continue
        assert {kind for kind, _ in cell} <= {"code_inline", "text", "strong_open", "strong_close"}
        assert not "".join(text for kind, text in cell if kind == "text").strip("|")
        shown, said = ("".join(text for _, text in each) for each in (cell, wanted))
        assert shown.strip() == said.replace("NAME", in_a_line(name)).strip()


@pytest.mark.parametrize("name", NAMES)
def test_a_chart_shows_a_hostile_name_literally(name: str):
    """Lost: a name breaks a chart, or adds elements to it."""
    daily = trends.Daily(np.array([[4]]), *(np.array([[1.0]]) for _ in range(5)), fine_count=np.array([[4]]))
    drawn = (
        markdown_tables.observed_against_baseline(judged((name,))),
        charts.trend(name, TODAY, daily, 0, DimensionChanges((), ())),
    )
    for image in drawn:
        found = re.fullmatch(r"!\[[a-z ]+\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", image)
        assert found, image
        texts = [each.text or "" for each in ElementTree.fromstring(base64.b64decode(found[1])).iter()]
        assert any(in_a_line(name)[:40] in text for text in texts)


def test_an_empty_chart_shows_a_hostile_name_literally():
    """Lost: a name adds an image to the page of a dimension without spans."""
    nothing = trends.daily([], 1, 3, 1.01)
    [line] = cells_of(charts.trend(HOSTILE[0], TODAY, nothing, 0, DimensionChanges((), ())))
    assert line == (("code_inline", HOSTILE[0]), ("text", " has no spans in these days."))


def test_the_description_of_a_check_shows_a_hostile_name_literally():
    """Lost: a name adds an image to the list of checks, which the UI renders as Markdown too."""
    for sentence in (checks._listed(HOSTILE[:2]), checks._counted({HOSTILE[0]: 3, HOSTILE[1]: 4})):
        [line] = cells_of(f"not measured: {sentence}")
        assert [text for kind, text in line if kind == "code_inline"] == list(HOSTILE[:2])
        assert {kind for kind, _ in line} == {"code_inline", "text"}


def test_the_day_table_has_columns_for_the_most_frequent_types_and_one_for_the_others():
    """Lost: a program with unbounded span types makes events of megabytes, and a page that browsers cannot show."""
    rows = [
        SpanCount(f"t{number:03}", TODAY - timedelta(days=day), number + day, 0)
        for number in range(100)
        for day in range(2)
    ]
    table = markdown_tables.day_table(rows)
    heading, _, *days = table.splitlines()
    assert heading == "| day | " + " | ".join(f"`t{number:03}`" for number in range(92, 100)) + " | 92 more |"
    assert days[1].endswith(f"| 98 | 99 | {sum(range(92))} |")
    assert len(days) == 2
    assert "more" not in markdown_tables.day_table(rows[:16])
