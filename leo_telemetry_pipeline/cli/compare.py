"""``leo-telemetry compare``: test whether one dimension, or one period, is slower than another.

Belongs here: the command's options, output and choice of days. Does not: any statistics (analysis.compare).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from leo_telemetry_pipeline.actions.dimension_names import parse
from leo_telemetry_pipeline.actions.items import milliseconds
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.cli.dimensions import connected, last_days, unknown
from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import items as item_store
from leo_telemetry_pipeline.store.days import Window, after, midnight
from leo_telemetry_pipeline.store.server.database import Database

if TYPE_CHECKING:
    from leo_telemetry_pipeline.analysis.compare import Comparison, Difference, Estimate

DAYS_OF_DIMENSIONS, DAYS_OF_PERIODS = 28, 7
MOST_DAYS = 3650
EARLIEST = date(1972, 1, 1)


@dataclass(frozen=True)
class Slice:
    """One side of a comparison: a dimension and a window."""

    dimension: Dimension
    window: Window

    @property
    def name(self) -> str:
        """The dimension as typed."""
        return ":".join(self.dimension)

    @property
    def is_part(self) -> bool:
        """Whether the last day has not ended."""
        return len(self.window.closed_days) < len(self.window.days)

    @property
    def period(self) -> str:
        """The first and the last day."""
        first, last = self.window.days[0], self.window.days[-1]
        so_far = " so far" if self.is_part else ""
        return f"{first}{so_far}" if first == last else f"{first} to {last}{so_far}"


@click.command()
@click.argument("a", metavar="[A]", required=False)
@click.argument("b", metavar="[B]", required=False)
@click.option("--before", metavar="DAYS", help="The first period, such as 2026-02-01..2026-02-07.")
@click.option("--after", "later", metavar="DAYS", help="The second period.")
@click.option("--at", "day", metavar="DAY", help="Compare the days before this day with those since.")
@click.option("--item", metavar="ID", help="Compare the days before an item was opened with those since.")
@click.option("--days", type=click.IntRange(1, MOST_DAYS), help="How many days (28 for A and B, else 7 per side).")
@click.option("--project", metavar="NAME", help="Only spans of this project.")
@click.option("--json", "as_json", is_flag=True, help="Print all numbers as JSON.")
def compare(
    a: str | None,
    b: str | None,
    before: str | None,
    later: str | None,
    day: str | None,
    item: str | None,
    days: int | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Test whether one dimension, or one period, is slower than another.

    \b
    compare sd_type:feature sd_type:bugfix
    compare gate:X --at 2026-02-08
    compare gate:X --before 2026-02-01..2026-02-07 --after 2026-02-08..2026-02-14
    compare --item ID

    Differences and ratios of P50 and P90 have 95 % intervals, which include the variation between days.
    """  # noqa: D301  # click's mark against rewrapping
    with connected() as connection:
        sides = _sides(a, b, (before, later), day, item, days, project, lambda: _item(connection, item or ""))
        comparison = read(connection, *sides)
    if as_json:
        text.as_json(to_json(*sides, comparison))
    else:
        click.echo(render(*sides, comparison))


def _sides(
    a: str | None,
    b: str | None,
    periods: tuple[str | None, str | None],
    day: str | None,
    item: str | None,
    days: int | None,
    project: str | None,
    found_item: Callable[[], item_store.Item],
) -> tuple[Slice, Slice]:
    """Parse the arguments into two sides. Raises UserError unless they are one of the four forms."""
    ways = {"B": b, "--before and --after": any(periods), "--at": day, "--item": item}
    chosen = [name for name, given in ways.items() if given]
    if len(chosen) != 1 or (a is None) != bool(item):
        given = ", ".join([*(["A"] if a else []), *chosen]) or "nothing"
        raise UserError(f"Give A and B; or A with --at, or with --before and --after; or only --item (given: {given})")
    if item and project:
        raise UserError("An item has a project of its own: omit --project")
    if item:
        return _around_item(found_item(), days)
    dimension = parse(a or "")
    if b:
        if (other := parse(b)) == dimension:
            raise UserError(f"A and B are both {a}: give two dimensions, or two periods with --before and --after")
        window = last_days(days or DAYS_OF_DIMENSIONS, project)
        return Slice(dimension, window), Slice(other, window)
    if day:
        return _around(dimension, _day(day, "--at"), days, project)
    if days or not all(periods):
        raise UserError("Two periods need both --before and --after, and no --days")
    first, second = (
        _period(period or "", name, project) for period, name in zip(periods, ("--before", "--after"), strict=True)
    )
    if first.start < second.end and second.start < first.end:
        raise UserError("--before and --after overlap: each day can be on one side only")
    return Slice(dimension, first), Slice(dimension, second)


def _around_item(item: item_store.Item, days: int | None) -> tuple[Slice, Slice]:
    if item.dimension is None:
        raise UserError(f"Item {item.id} has no dimension: it was not opened by an analysis")
    return _around(item.dimension, item.opened_at.date(), days, item.source_detail.get("project") or None)


def _around(dimension: Dimension, day: date, days: int | None, project: str | None) -> tuple[Slice, Slice]:
    length = timedelta(days or DAYS_OF_PERIODS)
    if day - EARLIEST <= length:
        raise UserError(f"{length.days} days before {day} is before any span: give a later day, or fewer days")
    start = midnight(day)
    end = min(start + length, datetime.now(UTC))
    return Slice(dimension, Window(start - length, start, project)), Slice(dimension, Window(start, end, project))


def _period(words: str, name: str, project: str | None) -> Window:
    first, dots, last = words.partition("..")
    begin, end = _day(first, name), _day(last if dots else first, name)
    if end < begin:
        raise UserError(f"{name} {words} ends before it starts: write the earlier day first")
    if (end - begin).days >= MOST_DAYS:
        raise UserError(f"{name} {words} is longer than {MOST_DAYS} days")
    return Window(midnight(begin), min(after(end), datetime.now(UTC)), project)


def _day(word: str, name: str) -> date:
    try:
        day = date.fromisoformat(word)
    except ValueError:
        like = "2026-02-08" if name == "--at" else "2026-02-01..2026-02-07"
        raise UserError(f"{name} {word!r} is not a day: write it like {like}") from None
    if not EARLIEST <= day <= datetime.now(UTC).date():
        raise UserError(f"{name} {day} is {'before any span' if day < EARLIEST else 'in the future'}: give another day")
    return day


def _item(connection: Database, word: str) -> item_store.Item:
    matching = [item for item in item_store.all_items(connection) if item.id == word.lower()]
    if not matching:
        raise UserError(f"There is no improvement item {word}: `leo-telemetry items` lists them")
    return matching[0]


def read(connection: Database, a: Slice, b: Slice) -> "Comparison":
    """Read both sides and compare B with A. Raises UserError for a side without spans."""
    from leo_telemetry_pipeline.analysis import compare as analysis
    from leo_telemetry_pipeline.store.history import daily
    from leo_telemetry_pipeline.store.history.histograms import GAMMA

    def side(selection: Slice) -> analysis.Side | None:
        scope = daily.scope(connection, selection.window, [selection.dimension[0]])
        rows = daily.read(connection, selection.window, [selection.dimension], scope.seen, scope.uncounted)
        return analysis.side(rows, 0, selection.window.start.date().toordinal())

    of_a, of_b = side(a), side(b)
    if of_a and of_b:
        return analysis.compare(of_a, of_b, GAMMA)
    empty = b if of_a else a
    if a.dimension == b.dimension and (of_a or of_b):
        raise UserError(
            f"{empty.name} has no spans in {empty.period}: "
            f"`leo-telemetry trends {empty.name}` shows which days have some"
        )
    raise unknown(connection, empty.window, empty.dimension)


def render(a: Slice, b: Slice, comparison: "Comparison") -> str:
    """Format both sides, the table and the verdict."""
    rows = [(f"P{diff.quantile * 100:.0f}", *_cells(diff)) for diff in (comparison.p50, comparison.p90)]
    lines = [
        _side("A", a, comparison.a_spans, comparison.a_days),
        _side("B", b, comparison.b_spans, comparison.b_days),
        "",
        text.table(("", "A", "B", "B - A", "95 % INTERVAL", "B / A", "95 % INTERVAL", "B IS"), rows),
        "",
        f"Verdict: {_verdict(comparison.p50)}",
    ]
    if not comparison.between_days:
        lines.append("Each side is one day: the intervals do not include the variation between days.")
    return "\n".join(lines)


def _side(letter: str, selection: Slice, spans: int, days: int) -> str:
    where = f" in {selection.window.project}" if selection.window.project else ""
    return f"{letter}: {selection.name}{where}, {selection.period}: {spans} span(s) on {days} day(s)"


def _cells(diff: "Difference") -> tuple[str | None, ...]:
    return (
        milliseconds(diff.a_ms),
        milliseconds(diff.b_ms),
        _more(diff.difference_ms.value),
        _interval(diff.difference_ms, _more),
        _times(diff.ratio.value),
        _interval(diff.ratio, _times),
        diff.verdict,
    )


def _verdict(p50: "Difference") -> str:
    from leo_telemetry_pipeline.analysis.compare import LEAST_BEYOND, NO_EVIDENCE

    if p50.verdict != NO_EVIDENCE:
        return f"B is {p50.verdict}"
    if p50.difference_ms.low is None:
        return f"no evidence: the interval of a P50 needs at least {2 * LEAST_BEYOND} spans per side"
    return "no evidence that B is slower or faster"


def _interval(estimate: "Estimate", write: Callable[[float | None], str | None]) -> str | None:
    return None if estimate.low is None or estimate.high is None else f"{write(estimate.low)} to {write(estimate.high)}"


def _more(value: float | None) -> str | None:
    return (
        None
        if value is None
        else ("-" if milliseconds(abs(value)) != "0ms" and value < 0 else "+") + milliseconds(abs(value))
    )


def _times(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}x"


def to_json(a: Slice, b: Slice, comparison: "Comparison") -> dict[str, Any]:
    """Return the comparison as JSON data."""
    sides = {"a": (a, comparison.a_spans, comparison.a_days), "b": (b, comparison.b_spans, comparison.b_days)}
    return {
        "verdict": comparison.p50.verdict,
        **{
            letter: {
                "dimension_type": selection.dimension[0],
                "dimension_key": selection.dimension[1],
                "project": selection.window.project,
                "first_day": selection.window.days[0],
                "last_day": selection.window.days[-1],
                "last_day_so_far": selection.is_part,
                "spans": spans,
                "days": days,
            }
            for letter, (selection, spans, days) in sides.items()
        },
        "between_days": comparison.between_days,
        "p50": asdict(comparison.p50),
        "p90": asdict(comparison.p90),
    }
