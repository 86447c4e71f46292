"""Old spans for retention: storing them, reading what remains, and commands that keep 35 days."""

from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

from click.testing import CliRunner

from leo_telemetry_pipeline.cli.commands import cli
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import execute, midnight, new_id, span

KEEP = 35
AGES = (*range(25, 50, 4), 400)
DUE = [age for age in AGES if age > KEEP]
SEALED = [age for age in AGES if age > KEEP - 7]


def keeping(folder: Path | None = None) -> Settings:
    """Return settings that keep spans for 35 days, with or without an archive folder."""
    environment = {PREFIX + "KEEP": f"{KEEP}d"}
    return Settings(environment if folder is None else environment | {PREFIX + "ARCHIVE": str(folder)})


def a_day(age: int) -> list[Span]:
    """Build a day's spans: a handoff with gates, a wait, a span without an end, and one with awkward values."""
    at, trace_id, handoff = midnight(age) + timedelta(hours=4), new_id(), new_id()
    inside = {"at": at, "trace_id": trace_id, "parent_span_id": handoff}
    return [
        span(
            "handoff", "LEAD-TO-PLAN", 5_000, at=at, trace_id=trace_id, span_id=handoff, attributes={"sd_type": "bug"}
        ),
        *[span("gate", f"G{n % 3}", 100 * n, **inside) for n in range(9)],
        span("wait", "approval", 1_000, **inside),
        span("gate", "OPEN", None, **inside),
        span(
            "phase",
            "Ä\t\\N 'quoted'\n☃",
            0,
            project="p",
            sd_id="NULL",
            attributes={"a": [1, None, "\\"], "é": {}},
            **inside,
        ),
    ]


def store_old(db: Database, ages: tuple[int, ...] = AGES, stored_days_later: int = 1) -> None:
    """Store the spans of some days as if each had been stored ``stored_days_later``."""
    for age in ages:
        made = a_day(age)
        spans.store(db, made)
        back_date(db, made, midnight(age - stored_days_later))


def back_date(db: Database, made: list[Span], stored_at: datetime) -> None:
    """Set the time at which spans were stored."""
    execute(
        db,
        "UPDATE workflow_trace_log SET created_at = %s WHERE span_id::text = ANY(%s)",
        (stored_at, [each.span_id for each in made]),
    )


def table(db: Database) -> Counter:
    """Return every row of the span table as text, with its count."""
    return Counter(text for (text,) in db.rows("SELECT to_jsonb(s)::text FROM workflow_trace_log AS s"))


def history(db: Database) -> list[tuple]:
    """Return the sealed history of all days, parts summed."""
    return db.rows(
        "SELECT day, dimension_type, dimension_key, project, sum(count), sum(sum_ms), min(min_ms), max(max_ms)"
        " FROM duration_histograms GROUP BY 1, 2, 3, 4 HAVING sum(count) > 0 ORDER BY 1, 2, 3, 4"
    )


def days_of(ages: list[int]) -> list[date]:
    """Return the dates of ages in days, oldest first."""
    return [midnight(age).date() for age in sorted(ages, reverse=True)]


def run(*arguments: object, **variables: object) -> tuple[int, str]:
    """Run ``leo-telemetry`` in this process, on the database from the environment."""
    environment = {PREFIX + "KEEP": f"{KEEP}d"} | {PREFIX + name: str(value) for name, value in variables.items()}
    done = CliRunner().invoke(cli, [str(each) for each in arguments], env=environment, catch_exceptions=False)
    return done.exit_code, done.output
