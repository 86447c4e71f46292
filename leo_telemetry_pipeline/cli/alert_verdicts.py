"""Verdicts of ``leo-telemetry doctor`` on alerts: refused channels, failures, dead letters.

Belongs here: the judgement, pure. Does not: gathering facts (doctor).
"""

from datetime import datetime, timedelta

from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.cli.verdicts import Verdict
from leo_telemetry_pipeline.delivery.channels import Channels
from leo_telemetry_pipeline.store.outbox import Backlog

# Longer than any quiet hours.
LONG_WAIT = timedelta(days=1)
LONGEST_ERROR = 160


def judge(channels: Channels, backlog: Backlog, now: datetime) -> list[Verdict]:
    """Return a verdict on each refused channel, and one on the others."""
    refused = [
        Verdict("alerts", f"{name} is refused: {why}", "see docs/alerts.md, Channels") for name, why in channels.refused
    ]
    if channels.usable:
        return [*refused, _usable(channels, backlog, now)]
    waiting = f"; {backlog.waiting} wait for one" if backlog.waiting else ""
    return refused or [Verdict("alerts", f"no channel: LEO_TELEMETRY_ALERT_URLS is not set{waiting}")]


def _usable(channels: Channels, backlog: Backlog, now: datetime) -> Verdict:
    given_up = f", {backlog.dead} given up" if backlog.dead else ""
    state = f"to {', '.join(channels.names)}: {backlog.waiting} waiting{given_up}"
    if backlog.last_error:
        error = text.cut(text.in_a_line(backlog.last_error), LONGEST_ERROR)
        return Verdict("alerts", f"{state}; {error}", "leo-telemetry alerts test, then leo-telemetry alerts retry")
    is_late = backlog.oldest is not None and now - backlog.oldest > LONG_WAIT
    return Verdict("alerts", state, "leo-telemetry alerts retry" if backlog.dead or is_late else "")
