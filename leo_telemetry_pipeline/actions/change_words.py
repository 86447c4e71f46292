"""Wording of changes in daily series.

Belongs here: a change of level in words, for ``trends`` and the dashboard. Does not: finding changes (analysis).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from leo_telemetry_pipeline.resolution import is_least

if TYPE_CHECKING:
    # NumPy takes long to import, and commands start without it.
    from leo_telemetry_pipeline.analysis.changes import ChangePoint


def percent(ratio: float) -> str:
    """Format a relative change: ``+52 %``, ``-38 %``, or ``3.4x`` for three times or more."""
    return f"{(ratio - 1) * 100:+.0f} %" if ratio < 3 else f"{ratio:.1f}".removesuffix(".0") + "x"


def size(change: "ChangePoint") -> str:
    """Format the size of a change, with ``at least`` where the resolution limits it."""
    return f"{'at least ' * is_least(change.ratio, change.after, change.before)}{percent(change.ratio)}"


def change_in_words(change: "ChangePoint", write: Callable[[float], str]) -> str:
    """Describe a change: size, day, certainty and levels, which ``write`` formats."""
    about = "" if change.onset_from == change.onset_to else f", between {change.onset_from} and {change.onset_to}"
    sure = f"{change.confidence * 100:.1f}" if change.confidence < 0.999 else "over 99.9"
    sizes = f"{write(change.before)} to {write(change.after)}"
    return f"{size(change)} since {change.onset}{about} ({sure} % sure): from {sizes}"
