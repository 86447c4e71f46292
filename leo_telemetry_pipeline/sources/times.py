"""Parser of moments and durations: exact milliseconds, without floats in between.

Belongs here: null spellings, decimal commas, ISO 8601, formats of Go, SQL and spreadsheets, rounding.
Does not: units in column maps (column_maps), plausibility (plausible).

An exact value is an int if whole, else a Decimal. Moments are truncated to milliseconds, durations rounded half up
from the exact difference: the same for every source, so that a span is one row wherever it comes from.
"""

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.span import InvalidSpan

Exact = int | Decimal

NOTHING = frozenset(("", "null", "nan", "nat", "none", "nil", "<nil>", "n/a", "-", "\\n"))
_WHOLE = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII).fullmatch
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII).fullmatch
_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+", re.ASCII).fullmatch
_EITHER = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}", re.ASCII).fullmatch
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}((,[0-9]{3})+\.[0-9]+|(,[0-9]{3}){2,})", re.ASCII).fullmatch
# Numbers with more digits are not times.
_MOST_DIGITS = 30
_HALF = Decimal("0.5")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A date and time, with a zone as in ISO 8601, SQL or Go. Go adds a zone name and the reading of its monotonic clock.
_MOMENT = re.compile(
    r"(?P<year>\d{4})([-/])(?P<month>\d\d)\2(?P<day>\d\d)"
    r"(?:[Tt ]\s*(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,18}))?)?)?"
    r"\s*(?:(?P<utc>[Zz]|UTC|GMT)|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d)?"
    r"(?:\s[A-Z]{1,5}|\s[+-]\d\d(?:\d\d)?)?|(?P<zone>(?![AP]M\b)[A-Z]{2,5}|[A-Z][a-z]+/[A-Za-z_]+))?(?:\sm=[+-][0-9.]+)?",
    re.ASCII,
).fullmatch

# Day, month and year in another order, or as words.
_OTHER_DATE = re.compile(r"\d{1,2}[-./]\d{1,2}[-./]\d{2,4}\b|[A-Z][a-z]{2}[, ]", re.ASCII).match

_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_UNITS = _MS | {
    **dict.fromkeys(("us", "µs", "μs", "usec", "microsecond", "microseconds"), Decimal("0.001")),
    **dict.fromkeys(("ns", "nsec", "nanosecond", "nanoseconds"), Decimal("0.000001")),
    **dict.fromkeys(("msec", "msecs", "milli", "millis", "millisecond", "milliseconds"), 1),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), _MS["s"]),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), _MS["m"]),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), _MS["h"]),
    **dict.fromkeys(("day", "days"), _MS["d"]),
}
_NUMBER = r"[0-9]+(?:[.,][0-9]+)?"
_WITH_UNITS = re.compile(rf"(?:{_NUMBER}\s*[a-zµμ]+\s*)+").fullmatch
_ONE_UNIT = re.compile(rf"({_NUMBER})\s*([a-zµμ]+)").findall
_ISO_DURATION = re.compile(
    rf"P(?:({_NUMBER})D)?(?:T(?:({_NUMBER})H)?(?:({_NUMBER})M)?(?:({_NUMBER})S)?)?", re.ASCII
).fullmatch
_CLOCK = re.compile(r"(?:(\d+) days?,? )?(\d+):([0-5]\d):([0-5]\d(?:[.,]\d+)?)", re.ASCII).fullmatch
_SHORT_CLOCK = re.compile(r"\d+:\d\d", re.ASCII).fullmatch


def number(value: object, name: str) -> Exact | None:
    """Return a number exactly as written; None for a null spelling. Raise InvalidSpan."""
    if value is None:
        return None
    if isinstance(value, bool):
        raise InvalidSpan(f"{name} is {str(value).lower()}, not a number")
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return None
        # repr is the shortest text of this float: the number as written, not its binary neighbour.
        value = Decimal(repr(value)) if math.isfinite(value) else Decimal("Infinity")
    if isinstance(value, Decimal):
        if value.is_nan():
            return None
        return _bounded(value, name)
    if isinstance(value, str):
        text = value.strip()
        return None if text.lower() in NOTHING else _from_text(text, name)
    raise InvalidSpan(f"{name} is not a number: {redact.shown(value)}")


def moment(value: object, name: str) -> Exact | None:
    """Return a moment in epoch milliseconds; a time without a zone is UTC. Raise InvalidSpan."""
    # A date starts with a year of four digits; no other accepted spelling has a dash or slash as its fifth character.
    text = value.strip() if isinstance(value, str) else ""
    if _OTHER_DATE(text):
        raise InvalidSpan(f"{name} {redact.shown(text)} is not a supported date: write it as 2026-11-29T12:29:00Z")
    if text[4:5] not in ("-", "/"):
        return number(value, name)
    match = _MOMENT(text)
    try:
        if match is None:
            parsed = datetime.fromisoformat(text)
            parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
            return _exact_ms((parsed - _EPOCH) // timedelta(microseconds=1), "")
        return _moment_of(match, name)
    except (ValueError, OverflowError) as error:
        if isinstance(error, InvalidSpan):
            raise
        raise InvalidSpan(f"{name} is not a time: {redact.shown(value)}") from None


def duration(value: object, name: str) -> Exact | None:
    """Return a duration in milliseconds, from a number or any usual spelling. Raise InvalidSpan."""
    if not isinstance(value, str):
        return number(value, name)
    text = value.strip()
    sign, bare = (-1, text[1:]) if text.startswith("-") and len(text) > 1 else (1, text)
    if match := _ISO_DURATION(bare):
        if any(match.groups()):
            return sign * _sum(zip(match.groups(), "dhms", strict=True))
    elif _WITH_UNITS(bare):
        parts = _ONE_UNIT(bare)
        if all(unit in _UNITS for _, unit in parts):
            for count, _ in parts:
                _refuse_either(count, text, name)
            return sign * _sum(parts)
    elif match := _CLOCK(bare):
        return sign * _sum(zip(match.groups(), "dhms", strict=True))
    elif _SHORT_CLOCK(bare):
        raise InvalidSpan(f"{name} {redact.shown(value)} may be hours or minutes: write it as 00:05:21")
    return number(value, name)


def cut(exact: Exact) -> int:
    """Return a moment truncated to milliseconds."""
    return math.floor(exact)


def rounded(exact: Exact) -> int:
    """Return a duration rounded half up to milliseconds."""
    return exact if isinstance(exact, int) else math.floor(exact + _HALF)


def rest_us(exact: Exact) -> int | None:
    """Return the microseconds that a rounded duration lacks, -500 to 499; None for whole milliseconds."""
    if isinstance(exact, int) or exact < 0:
        return None
    return min(math.floor((exact - rounded(exact)) * 1_000 + _HALF), 499)


def scaled(value: Exact, nanoseconds: int) -> Exact:
    """Convert a value to milliseconds; ``nanoseconds`` is the length of its unit."""
    return _exact_ms(value * nanoseconds, "", Decimal("0.000001"))


def _from_text(text: str, name: str) -> Exact:
    if _WHOLE(text):
        return int(text)
    if _DECIMAL(text):
        return _bounded(Decimal(text), name)
    _refuse_either(text, text, name)
    if _COMMA(text):
        return _bounded(Decimal(text.replace(",", ".")), name)
    if _THOUSANDS(text):
        return _bounded(Decimal(text.replace(",", "")), name)
    raise InvalidSpan(f"{name} is not a number: {redact.shown(text)}")


def _refuse_either(count: str, text: str, name: str) -> None:
    if _EITHER(count):
        raise InvalidSpan(
            f"{name} {redact.shown(text)} has a comma that may mean thousands or decimals: write it without the comma"
        )


def _bounded(value: Decimal, name: str) -> Exact:
    if not value.is_finite() or value.adjusted() > _MOST_DIGITS:
        raise InvalidSpan(f"{name} is not a number: {redact.shown(str(value))}")
    return int(value) if value == value.to_integral_value() else value


def _moment_of(match: re.Match[str], name: str) -> Exact:
    if match["zone"]:
        raise InvalidSpan(f"{name}: the time zone {match['zone']} is not known: write an offset such as +01:00")
    date = (int(match[part] or 0) for part in ("year", "month", "day", "hour", "minute", "second"))
    seconds = (datetime(*date, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
    if match["sign"]:
        offset = int(match["hours"]) * 3_600 + int(match["minutes"] or 0) * 60
        seconds -= offset if match["sign"] == "+" else -offset
    return _exact_ms(seconds * 1_000_000, match["fraction"] or "")


def _exact_ms(units: Exact, fraction: str, unit_ms: Decimal = Decimal("0.001")) -> Exact:
    try:
        value = units * unit_ms + (Decimal(f"0.{fraction}") * 1_000 if fraction else 0)
        return int(value) if value == value.to_integral_value() else value
    except InvalidOperation:
        raise InvalidSpan("a number is too long for a time") from None


def _sum(parts) -> Exact:
    total = sum((Decimal(count.replace(",", ".")) * _UNITS[unit] for count, unit in parts if count), Decimal(0))
    return int(total) if total == total.to_integral_value() else total
