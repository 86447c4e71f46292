"""What was measured as one table: rows, amounts, the sum, the exit status.

Belongs here: pure functions of what was measured. Does not: measuring, processes.
"""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

# Together with the spaces between them 120 columns, a common terminal.
_WIDTHS = {"what": 41, "ours": 16, "reference": 20, "ratio": 6, "budget": 13, "peak": 6, "": 4}


@dataclass(frozen=True)
class Measured:
    """One budget: what was measured (spans and dimensions after a colon), and how it compares; amounts with units."""

    what: str
    ours: str
    reference: str
    ratio: str | None
    budget: str
    passed: bool
    peak_mb: float | None = None


def amount(value: float, unit: str) -> str:
    """Write a number with three digits or more that count, and its unit."""
    size = abs(value)
    digits = 0 if size >= 100 or value == int(value) else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{digits}f}{'' if unit.startswith('/') else ' '}{unit}".rstrip()


def ratio(value: float) -> str:
    """Write a ratio; a small one as a fraction."""
    if 0 < value < 0.2:
        return f"1/{round(1 / value, 1):g}"
    return f"{value:.2f} x" if value < 10 else f"{value:.0f} x"


def last_line(said: str) -> str:
    """Return the last line that says something."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def told(script: str, out: str, err: str, status: int) -> list[Measured]:
    """Return what a script measured, from its lines of JSON; if it broke, that is a row too."""
    rows = [Measured(**json.loads(line)) for line in out.splitlines() if line.startswith("{")]
    if status or not rows:
        rows.append(Measured(f"{script} broke: {last_line(err)} (status {status})", "", "", None, "", passed=False))
    return rows


def better(first: Sequence[Measured], again: Sequence[Measured]) -> list[Measured]:
    """Return what a script measured twice: each budget as it held, or else as it was measured first."""
    if [_name(row) for row in first] != [_name(row) for row in again]:
        # One of them broke on its way.
        return list(max(first, again, key=lambda rows: sum(row.passed for row in rows)))
    return [row if row.passed or not other.passed else other for row, other in zip(first, again, strict=True)]


def _name(row: Measured) -> str:
    return row.what.split(";")[0]


def exit_status(rows: Sequence[Measured]) -> int:
    """Return 0 when there is something, and all of it passed."""
    return 0 if rows and all(row.passed for row in rows) else 1


def summed_up(rows: Sequence[Measured]) -> str:
    """Say in one line how many budgets hold, and which do not."""
    missed = [row.what.split(":")[0] for row in rows if not row.passed]
    held = f"{len(rows) - len(missed)} of {len(rows)} budgets hold"
    return f"{held}; MISS: {', '.join(missed)}" if missed else held


def rendered(rows: Sequence[Measured]) -> str:
    """Write rows as a table of at most 120 columns; what is too long goes on in further lines."""
    lines = [_line([[name] for name in (*list(_WIDTHS)[:5], "MB")] + [[""]])]
    lines.append(_line([["-" * width] for width in _WIDTHS.values()]))
    for row in rows:
        peak = "" if row.peak_mb is None else f"{row.peak_mb:,.0f}"
        verdict = "pass" if row.passed else "MISS"
        cells = (row.what, row.ours, row.reference, row.ratio or "", row.budget, peak, verdict)
        lines.append(_line([textwrap.wrap(cell, width) for cell, width in zip(cells, _WIDTHS.values(), strict=True)]))
    return "\n".join(lines)


def _line(cells: Sequence[list[str]]) -> str:
    lines = []
    for number in range(max(map(len, cells))):
        parts = [cell[number] if number < len(cell) else "" for cell in cells]
        padded = [part.ljust(width) for part, width in zip(parts, _WIDTHS.values(), strict=True)]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)
