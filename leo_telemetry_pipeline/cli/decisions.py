"""Options of commands by which people decide on items and directives: who, when and why.

Belongs here: these options and their values. Does not: any command.
"""

import getpass
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from leo_telemetry_pipeline.actions.inert import in_a_line
from leo_telemetry_pipeline.actions.item_decisions import NO_REASON, require_person
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.errors import UserError


def options(argument: str, metavar: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a command with the argument that names its subject, and with --reason, --by and --at."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        decorators = (
            click.argument(argument, metavar=metavar),
            click.option("--reason", metavar="TEXT", callback=_reason, help="Why: others read it later."),
            click.option("--by", metavar="NAME", callback=_name, help="Who decided it (default: your user name)."),
            click.option("--at", metavar="TIME", help="When it happened (default: now), UTC."),
        )
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def actor(by: str | None) -> str:
    """Return who decides. Raises UserError."""
    require_person(by or "")
    try:
        return by or getpass.getuser()
    except (KeyError, OSError):
        raise UserError("This user has no name: give one with --by") from None


def moment(at: str | None) -> datetime:
    """Return when it was decided. Raises UserError."""
    return text.moment_of(at, "--at") if at else datetime.now(UTC)


def _reason(_context: click.Context, _option: click.Parameter, value: str | None) -> str:
    return in_a_line(value or "").strip() or NO_REASON


def _name(_context: click.Context, _option: click.Parameter, value: str | None) -> str:
    return in_a_line(value or "").strip()
