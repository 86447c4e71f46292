"""Finding a slow model, tool, sub-agent, skill, MCP server or hook in a month of Claude Code sessions: line 11.6.

Belongs here: one part per planted slowdown, and the expected findings and trends. Does not: the month (sessions).
"""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import generate
from benchmarks.figures import Figure
from benchmarks.measure import HOME, environment
from benchmarks.sessions import PLANTS, SLOW_DAYS, Plant, month
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.server.database import Database

LINE = "11.6"
_PROMPTS_PER_DAY = {True: 60, False: 14}
# A column shows the slowdown if its median grew by at least this fraction of the planted factor.
_SHOWN = 0.8
# Tolerated ratio between weeks of unchanged columns.
_SAME = 1.15
# Per slowed part: the column of `trends` that grows, and those that stay.
_COLUMNS = {
    "work": ("p50_ms", ()),
    "first token": ("ttft_ms", ("after_first_token_ms", "output_tokens", "input_tokens")),
    "pace": ("after_first_token_ms", ("ttft_ms", "output_tokens", "input_tokens")),
    "tokens": ("output_tokens", ("ttft_ms", "input_tokens")),
    "wait": ("wait_ms", ("p50_ms",)),
}
_SAID = {"first token": "time to first token", "pace": "ms per token out", "tokens": "tokens out, were"}


def parts(full: bool) -> list[str]:
    """Return the planted slowdowns."""
    return list(PLANTS) if full else ["first token of a model", "MCP server", "waiting for a person"]


def run(part: str, seed: int, full: bool) -> list[Figure]:
    """Analyse a month with one slowdown and check the findings and trends."""
    with generate.server() as (home, target), closing(Database(target)) as database:
        return judged(part, seed, full, database, partial(ask_in, home))


def judged(part: str, seed: int, full: bool, database: Database, ask: Callable[..., Any]) -> list[Figure]:
    """Store a month and check the commands' answers; ``ask`` runs a command and returns its JSON."""
    plant = PLANTS[part]
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    stored = spans.insert(database, month(seed, midnight, plant, _PROMPTS_PER_DAY[full]))
    found = ask("analyze", "--json")
    days = ask("trends", f"{plant.span_type}:{plant.span_name}", "--days", "30", "--json")["days"]
    titles = [item["title"] for item in ask("items", "--json")]
    what = f"{part} x {plant.factor:g}, {stored:,} spans"
    return [named(plant, what, found["bottlenecks"], titles), shown(plant, what, days)]


def ask_in(home: Path, *words: str) -> Any:
    """Run a command in a home and return its JSON output."""
    command = [sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli", *words]
    done = subprocess.run(
        command, env=environment(**{HOME: str(home)}), cwd="/", capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def named(plant: Plant, what: str, bottlenecks: list[dict[str, Any]], titles: list[str]) -> Figure:
    """Check that the slowdown is the first finding, the cause of all others, and the only item."""
    name = f"{plant.span_type}:{plant.span_name}"
    slow = [f"{one['dimension_type']}:{one['dimension_key']}" for one in bottlenecks]
    measured = f"found: {', '.join(slow) or 'nothing'}; items: {'; '.join(titles) or 'none'}"
    if plant.part == "wait":
        return Figure(LINE, f"findings, {what}", "no finding, because only waits got longer", measured, not slow)
    causes = {one["cause"] for one in bottlenecks}
    said = "; ".join(part for one in bottlenecks[:1] for part in one["measured"])
    held = slow[:1] == [name] and causes == {name} and len(titles) == 1 and titles[0].startswith(f"{name} takes ")
    return Figure(
        LINE,
        f"findings, {what}",
        f"{name} is the first finding, the only cause and the only item"
        + (f", with {_SAID[plant.part]!r}" if plant.part in _SAID else ""),
        measured + (f"; {said}" if said else ""),
        held and _SAID.get(plant.part, "") in said,
    )


def shown(plant: Plant, what: str, days: list[dict[str, Any]]) -> Figure:
    """Check that the right column of trends grew and the others did not."""
    column, others = _COLUMNS[plant.part]
    grew = {name: _growth(days, name) for name in (column, *others)}
    held = grew[column] >= _SHOWN * plant.factor and all(1 / _SAME < grew[name] < _SAME for name in others)
    required = f"{column} at least {_SHOWN * plant.factor:g} x" + (
        f"; unchanged: {', '.join(others)}" if others else ""
    )
    measured = ", ".join(f"{name} {ratio:.2f} x" for name, ratio in grew.items())
    return Figure(LINE, f"trends, {what}", required, measured, held)


def _growth(days: list[dict[str, Any]], column: str) -> float:
    closed = [_value(day, column) for day in days if day["closed"]]
    before, after = (
        [value for value in part if value is not None] for part in (closed[:-SLOW_DAYS], closed[-SLOW_DAYS:])
    )
    return median(after) / median(before) if before and after else 0.0


def _value(day: dict[str, Any], column: str) -> float | None:
    if column == "p50_ms":
        return day["p50_ms"]
    if column == "wait_ms":
        return day["waiting"]["p50_ms"] if day["waiting"] else None
    return day["measures"].get(column)
