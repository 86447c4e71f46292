"""Templates of the dashboard, and the formats of values in them.

Belongs here: Jinja's environment and its filters. Does not: what a page shows (pages).
"""

from datetime import UTC, date, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2

from leo_telemetry_pipeline.actions import items
from leo_telemetry_pipeline.actions.inert import in_a_line
from leo_telemetry_pipeline.web.dashboard.charts import sparkline

STATIC = Path(__file__).with_name("static")


@cache
def environment() -> jinja2.Environment:
    """Return the environment of all templates; it escapes every value, and an undefined name is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters.update(ms=items.milliseconds, lasted=items.lasted, ratio=items.ratio, moment=moment, day=day, ago=ago)
    made.globals.update(static=static, link=link, sparkline=sparkline)
    return made


def render(template: str, **values: Any) -> str:
    """Render a template."""
    return environment().get_template(template).render(**values)


def moment(value: datetime) -> str:
    """Format a time to the minute, in UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"


def day(value: date | str) -> str:
    """Format a day: ``Mon 23 Nov``; its year is in the tooltip and in tables."""
    value = date.fromisoformat(value) if isinstance(value, str) else value
    return f"{value:%a} {value.day} {value:%b}"


def ago(value: datetime, now: datetime) -> str:
    """Format an age: ``5 min ago``, ``just now``."""
    seconds = (now - value).total_seconds()
    return f"{items.lasted(seconds)} ago" if seconds >= 1 else "just now"


def link(path: str, **query: str | None) -> str:
    """Return a path with its query; parameters without a value are left out."""
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path


@cache
def static(name: str) -> str:
    """Return the address of a static file, which changes with its content, so that browsers may keep it for ever."""
    return f"/static/{sha256((STATIC / name).read_bytes()).hexdigest()[:12]}/{name}"


def _shown(value: Any) -> Any:
    # Names come from outside: they stay in their line, and bidirectional marks do not reorder the page.
    return in_a_line(value) if type(value) is str else value
