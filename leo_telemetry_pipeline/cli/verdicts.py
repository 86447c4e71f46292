"""One line of ``leo-telemetry doctor``: what was found of a part, and what to do about it.

Belongs here: the record, and how it is printed. Does not: judging anything (doctor, installed_hooks).
"""

from dataclasses import dataclass

import click


@dataclass(frozen=True)
class Verdict:
    """One line of the screen; without a remedy all is well."""

    name: str
    said: str
    remedy: str = ""


def line(verdict: Verdict) -> str:
    """Return a verdict as it is printed, its remedy on a line of its own."""
    mark = click.style("!!", fg="red") if verdict.remedy else click.style("ok", fg="green")
    remedy = f"\n                  do: {verdict.remedy}" if verdict.remedy else ""
    return f"  {mark}  {verdict.name:<11} {verdict.said}{remedy}"
