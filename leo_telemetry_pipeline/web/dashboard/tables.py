"""Lists as CSV: the columns of one, and rows as text.

Belongs here: cells that no spreadsheet takes for formulas. Does not: the lists (pages), sending them (app).
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from leo_telemetry_pipeline.actions import inert


@dataclass(frozen=True)
class Table:
    """Columns of a list: for each name, the value of a row."""

    columns: Mapping[str, Callable[[Any], object]]

    def head(self) -> str:
        """Return the line with the names."""
        return _lines([tuple(self.columns)])

    def body(self, rows: Iterable[Any]) -> str:
        """Return the lines of some rows."""
        return _lines([tuple(_cell(value(row)) for value in self.columns.values()) for row in rows])


def _cell(value: object) -> object:
    match value:
        case None | int() | float():
            return value
        case date():
            return value.isoformat()
        case _:
            return inert.csv(str(value))


def _lines(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
