"""Thresholds that people set: which values are possible, setting them, and switching them off.

Belongs here: checks and the change, with its result in words. Does not: suggested values (threshold_tuning), their
effect on past days (threshold_effects).
"""

import math
from collections.abc import Mapping

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import thresholds
from leo_telemetry_pipeline.store.dimensions import GLOBAL, NAMED_ASSETS
from leo_telemetry_pipeline.store.server.database import Database

MOST_SAMPLES = 2_000_000_000
_NAMES = {
    "baseline_p50_ms": "The baseline P50 in ms",
    "multiplier": "The multiplier",
    "min_samples": "The number of samples",
}


def require_possible(values: Mapping[str, float], names: Mapping[str, str] = _NAMES) -> None:
    """Raise UserError unless values can be set; ``names``: what the person who gave them calls them."""
    for name, value in values.items():
        if not value > 0 or not math.isfinite(value):
            raise UserError(f"{names[name]} is {shown(value)}: it must be greater than 0")
        if name == "min_samples" and value > MOST_SAMPLES:
            raise UserError(f"{names[name]} is {value}: it must be at most {MOST_SAMPLES}")


def require_dimension(dimension_type: str, key: str | None) -> None:
    """Raise UserError unless this can be a dimension, or without a key a type."""
    if key == "":
        raise UserError("The key is empty: name a dimension, or omit the key to mean its whole type")
    parts = dimension_type.split("+")
    if len(parts) > 2 or not all(part and part.strip() == part for part in parts) or ":" in dimension_type:
        raise UserError(
            f"{dimension_type!r} is not a dimension type: write a span type (gate), an attribute (sd_type), "
            "or both (gate+sd_type), and the key after a space"
        )


def put(
    database: Database,
    dimension_type: str,
    key: str | None,
    values: Mapping[str, float],
    *,
    by: str | None = None,
    reason: str = "no reason given",
) -> tuple[str, str]:
    """Set values of a dimension, or without a key of a type; return what was set, and a warning or an empty text.

    Raises UserError.
    """
    require_possible(values)
    require_dimension(dimension_type, key)
    known = dimension_type == GLOBAL or thresholds.is_known(database, dimension_type, key)
    thresholds.put(database, dimension_type, key, values, by=by, reason=reason)
    name = name_of(dimension_type, key)
    result = f"{name}: {', '.join(f'{value} {shown(given)}' for value, given in values.items())}."
    is_known = known or (key is None and dimension_type in NAMED_ASSETS)
    return result, "" if is_known else f"No analysis has seen {name} yet: it is judged once it has spans."


def switch(
    database: Database,
    dimension_type: str,
    key: str | None,
    *,
    is_active: bool,
    by: str | None = None,
    reason: str = "no reason given",
) -> str:
    """Judge a dimension, or without a key a type, or stop judging it; return the result in words. Raises UserError."""
    require_dimension(dimension_type, key)
    name = name_of(dimension_type, key)
    by_default = dimension_type == GLOBAL or (key is None and dimension_type in NAMED_ASSETS)
    if not by_default and not thresholds.is_known(database, dimension_type, key):
        raise UserError(
            f"No dimension {name} was ever measured or configured: "
            "`leo-telemetry findings --verbose` and `leo-telemetry thresholds list` list names"
        )
    thresholds.put(database, dimension_type, key, {"is_active": is_active}, by=by, reason=reason)
    [now] = thresholds.effective(database, [(dimension_type, key or "")])
    return switched(name, is_on=is_active, is_judged=now.is_active)


def switched(name: str, *, is_on: bool, is_judged: bool) -> str:
    """Return what became of a switch in words."""
    if is_on and not is_judged:
        return f"{name} is switched on, but its type or `{GLOBAL}` is switched off: enable that too."
    return f"{name} is {'judged again' if is_on else 'no longer judged'}."


def name_of(dimension_type: str, key: str | None) -> str:
    """Return the name of a dimension, or without a key of a type."""
    return dimension_type if key is None else f"{dimension_type}:{key}"


def shown(value: object) -> object:
    """Return a number without needless decimals."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
