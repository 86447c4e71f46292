"""Verdict: one line of ``leo-telemetry doctor`` on one part of the system, with a remedy where it fails.

Belongs here: the record, and its text. Does not: judging (doctor, installed_hooks).
"""

from dataclasses import dataclass

import click


@dataclass(frozen=True)
class Verdict:
    """State of one part; without a remedy it is fine."""

    name: str
    state: str
    remedy: str = ""


def line(verdict: Verdict) -> str:
    """Format a verdict, with its remedy on a line of its own."""
    mark = click.style("!!", fg="red") if verdict.remedy else click.style("ok", fg="green")
    remedy = f"\n                  do: {verdict.remedy}" if verdict.remedy else ""
    return f"  {mark}  {verdict.name:<11} {verdict.state}{remedy}"
