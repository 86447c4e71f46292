"""Results of benchmarks as a table: rows, amounts, summary, exit status.

Belongs here: pure functions of measurements. Does not: measuring, processes.
"""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

# 120 columns with the spaces between them.
_WIDTHS = {"what": 41, "ours": 16, "reference": 20, "ratio": 6, "budget": 13, "peak": 6, "": 4}


@dataclass(frozen=True)
class Measured:
    """One measurement against its budget; ``what`` is a subject, a colon and its size; amounts have units."""

    what: str
    ours: str
    reference: str
    ratio: str | None
    budget: str
    passed: bool
    peak_mb: float | None = None


def amount(value: float, unit: str) -> str:
    """Format a number with three or more significant digits and its unit."""
    size = abs(value)
    digits = 0 if size >= 100 or value == int(value) else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{digits}f}{'' if unit.startswith('/') else ' '}{unit}".rstrip()


def ratio(value: float) -> str:
    """Format a ratio, a small one as a fraction."""
    if 0 < value < 0.2:
        return f"1/{round(1 / value, 1):g}"
    return f"{value:.2f} x" if value < 10 else f"{value:.0f} x"


def last_line(output: str) -> str:
    """Return the last line that is not blank."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def measurements_of(script: str, out: str, err: str, status: int) -> list[Measured]:
    """Return a script's measurements from its lines of JSON, with a missed row if it failed."""
    rows = [Measured(**json.loads(line)) for line in out.splitlines() if line.startswith("{")]
    if status or not rows:
        rows.append(Measured(f"{script} failed: {last_line(err)} (status {status})", "", "", None, "", passed=False))
    return rows


def better(first: Sequence[Measured], again: Sequence[Measured]) -> list[Measured]:
    """Merge two runs of a script: of each budget, the row that passed, else the first."""
    if [_name(row) for row in first] != [_name(row) for row in again]:
        # One of the runs failed midway.
        return list(max(first, again, key=lambda rows: sum(row.passed for row in rows)))
    return [row if row.passed or not other.passed else other for row, other in zip(first, again, strict=True)]


def _name(row: Measured) -> str:
    return row.what.split(";")[0]


def exit_status(rows: Sequence[Measured]) -> int:
    """Return 0 if there are rows and all passed."""
    return 0 if rows and all(row.passed for row in rows) else 1


def summed_up(rows: Sequence[Measured]) -> str:
    """Return one line with the number of budgets that hold, and those missed."""
    missed = [row.what.split(":")[0] for row in rows if not row.passed]
    held = f"{len(rows) - len(missed)} of {len(rows)} budgets hold"
    return f"{held}; MISS: {', '.join(missed)}" if missed else held


def rendered(rows: Sequence[Measured]) -> str:
    """Format rows as a table of at most 120 columns, wrapping long cells."""
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
