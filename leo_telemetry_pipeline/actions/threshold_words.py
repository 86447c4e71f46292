"""Suggested thresholds in words: the limit, how often it would be exceeded, and the evidence.

Belongs here: wording, as pure functions of a suggestion. Does not: computing it.
"""

from typing import TYPE_CHECKING

from leo_telemetry_pipeline.actions.items import milliseconds

if TYPE_CHECKING:
    from leo_telemetry_pipeline.dimension import Suggestion

# Share of weeks over a limit from which it is called always on.
_ALWAYS = 0.5


def evidence(suggestion: "Suggestion") -> str:
    """Describe the evidence for a suggestion."""
    known = suggestion.evidence
    level = f"{milliseconds(known['level_p50_ms'])} +- {known['noise_a_day']:.0%} per day"
    words = [f"{known['days']} days, {known['spans']} spans since {known['first_day']} around {level}"]
    if suggestion.is_slower:
        words.append(f"that level began with a step of {known['change'] - 1:+.0%}")
    if known["days_since"]:
        words.append(f"it ended on {known['last_day']}")
    words.append(
        f"in {known['weeks_replayed']} days {known['alarms_replayed_now']} -> {known['alarms_replayed_then']} alarm(s)"
    )
    return "; ".join(words)


def now(suggestion: "Suggestion") -> str:
    """Say how often the threshold of today is exceeded per year."""
    if (suggestion.share_over_now or 0.0) >= _ALWAYS:
        return "always on"
    return often(suggestion.alarms_a_year_now)


def often(alarms_a_year: float | None) -> str:
    """Format a number of alarms per year."""
    if alarms_a_year is None:
        return "-"
    return "under 0.1" if alarms_a_year < 0.1 else f"{alarms_a_year:.1f}"


def limit(baseline_p50_ms: float | None, multiplier: float) -> str:
    """Format a threshold: ``1.2s x 1.50``, ``learned x 1.50``."""
    return f"{'learned' if baseline_p50_ms is None else milliseconds(baseline_p50_ms)} x {multiplier:.2f}"
