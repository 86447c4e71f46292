"""Text of commands: formatting tables, ages and JSON, parsing days. Does not belong here: the content."""

import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import click

from leo_telemetry_pipeline.actions import items
from leo_telemetry_pipeline.actions.inert import in_a_line
from leo_telemetry_pipeline.cli import output
from leo_telemetry_pipeline.errors import UserError

lasted = items.lasted


def as_json(value: Any) -> None:
    """Print one JSON document, times as ISO 8601. Characters that the terminal lacks are escaped."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=not output.takes_all(sys.stdout), default=_plain))


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Format rows in aligned columns, one line per row; None is a dash."""
    text = [list(header), *[["-" if value is None else in_a_line(str(value)) for value in row] for row in rows]]
    widths = [max(len(line[index]) for line in text) for index in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in text
    )


def cut(value: str, size: int = 60) -> str:
    """Truncate a text to ``size`` characters."""
    return value if len(value) <= size else value[: size - 1] + "…"


def day(value: str, option: str) -> date:
    """Parse the day that an option names. Raises UserError."""
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
            raise ValueError
        return date.fromisoformat(value)
    except ValueError:
        raise UserError(f"{option} {value!r} is not a day: write it like 2026-02-09") from None


def moment_of(value: str, option: str) -> datetime:
    """Parse the ISO 8601 time of an option, UTC unless it has a zone. Raises UserError, also for a future time."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise UserError(f"{option} {value!r} is not a time: write 2026-02-09 or 2026-02-09T12:00Z") from None
    zone = UTC if moment.tzinfo is None else moment.tzinfo
    # Years are compared first: near the limits of datetime, conversion to UTC overflows.
    if moment.year < 1972:
        raise UserError(f"{option} {value} is before any span: give a time from 1972 on")
    if moment.year > 9990 or moment.replace(tzinfo=zone) > datetime.now(UTC) + timedelta(minutes=1):
        raise UserError(f"{option} {value} is in the future: give a time that has passed")
    return moment.replace(tzinfo=zone).astimezone(UTC)


def moment(value: datetime | None) -> str | None:
    """Format a time to the second, in UTC."""
    return None if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def age(then: datetime, now: datetime) -> str:
    """Format an age in UTC days: ``today``, ``1 day ago``, ``N days ago``."""
    days = (now.astimezone(UTC).date() - then.astimezone(UTC).date()).days
    if days <= 0:
        return "today"
    return "1 day ago" if days == 1 else f"{days} days ago"


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)
