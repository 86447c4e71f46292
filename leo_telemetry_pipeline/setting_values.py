"""Values of settings: parsing their texts.

Belongs here: one function per kind of value, which raises ValueError with what the setting takes.
Does not: the settings themselves (settings).
"""

from __future__ import annotations

# The measured program reads a setting without importing these.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import time
    from ipaddress import IPv4Network, IPv6Network

_MOST = 2_000_000_000
# An analysis reads seven days and the 28 before them.
LEAST_KEPT_DAYS = 35
_TEN_YEARS_S = 10 * 366 * 86_400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def seconds(text: str) -> int:
    """Parse ``7d``, ``12h``, ``30m`` or ``45s`` as seconds."""
    number, unit = text.strip()[:-1], text.strip()[-1:]
    if unit not in _UNITS or not _is_whole(number) or int(number) * _UNITS[unit] > _TEN_YEARS_S:
        raise ValueError("a number and a unit: 7d, 12h, 30m or 45s; at most ten years")
    return int(number) * _UNITS[unit]


def switch(text: str) -> bool:
    """Parse true or false, also written yes/no, on/off, 1/0."""
    word = unquoted(text).lower()
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    raise ValueError("true or false")


def count(text: str) -> int:
    """Parse a whole number from 1 to 2 billion."""
    if not _is_whole(text.strip()) or int(text) > _MOST:
        raise ValueError("a whole number of at least 1")
    return int(text)


def size(text: str) -> int:
    """Parse ``64m``, ``2g`` or ``512k`` as bytes."""
    number, unit = text.strip()[:-1], text.strip()[-1:].lower()
    if unit not in _SIZES or not _is_whole(number) or int(number) * _SIZES[unit] > _MOST * 1000:
        raise ValueError("a number and a unit: 64m, 2g or 512k")
    return int(number) * _SIZES[unit]


def kept_days(text: str) -> int:
    """Parse a number of days such as ``90d``, at least 35."""
    try:
        days, rest = divmod(seconds(text), _UNITS["d"])
    except ValueError:
        days, rest = 0, 0
    if rest or days < LEAST_KEPT_DAYS:
        raise ValueError(f"a number of days such as 90d, at least {LEAST_KEPT_DAYS}d: analyses look back that far")
    return days


def names(text: str) -> tuple[str, ...]:
    """Parse names separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def port(text: str) -> int:
    """Parse a TCP port."""
    if not _is_whole(text.strip()) or int(text) > 65535:
        raise ValueError("a port from 1 to 65535")
    return int(text)


def unquoted(text: str) -> str:
    """Strip blanks and one pair of quotes, which a pasted value or a .env file may carry."""
    text = text.strip()
    if len(text) > 1 and text[0] in "\"'" and text[0] == text[-1]:
        text = text[1:-1].strip()
    return text


def application(text: str) -> str:
    """Parse the name of an application, or an empty text."""
    rest = text.translate(dict.fromkeys(map(ord, "_.-")))
    if text and not (text.isascii() and text[0].isalpha() and rest.isalnum()):
        raise ValueError("a name of letters, digits, '_', '.' and '-', such as EHG_Engineer")
    return text


def ratio(text: str) -> float:
    """Parse a number greater than 1, such as ``3`` or ``2.5``."""
    from math import isfinite

    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (isfinite(number) and number > 1):
        raise ValueError("a number greater than 1")
    return number


def addresses(text: str) -> tuple[str, ...]:
    """Parse URLs separated by blanks or line ends."""
    return tuple(text.split())


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Parse IP networks separated by commas: ``10.0.0.0/8,127.0.0.1``."""
    if not text:
        return ()
    from ipaddress import ip_network

    try:
        return tuple(ip_network(name, strict=False) for name in names(text))
    except ValueError:
        raise ValueError("IP networks separated by commas: 10.0.0.0/8,fd00::/8") from None


def optional_seconds(text: str) -> int | None:
    """Parse a time such as ``7d``; nothing means never."""
    return seconds(text) if text else None


def time_of_day(text: str) -> time | None:
    """Parse ``08:00`` (in UTC) or ``08:00 Europe/Berlin``; ``off`` and nothing mean never."""
    if text in ("", "off"):
        return None
    try:
        return _time(*text.split())
    except (TypeError, ValueError):
        raise ValueError("a time of day: 08:00, 08:00 Europe/Berlin, or off") from None


def hours(text: str) -> tuple[time, time] | None:
    """Parse ``22:00-07:00`` (in UTC) or ``22:00-07:00 Europe/Berlin``; nothing means no hours."""
    if not text:
        return None
    try:
        spelled, *zone = text.split()
        begin, end = (_time(clock, *zone) for clock in spelled.split("-"))
        if begin == end:
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError("two different times of day: 22:00-07:00 or 22:00-07:00 Europe/Berlin") from None
    return begin, end


def _time(clock: str, zone: str = "UTC") -> time:
    """Parse a time and its zone. Raises ValueError or TypeError."""
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    try:
        # A slim container has no list of zones.
        own = UTC if zone == "UTC" else ZoneInfo(zone)
    except (KeyError, OSError):
        raise ValueError(zone) from None
    return datetime.strptime(clock, "%H:%M").time().replace(tzinfo=own)  # noqa: DTZ007  # the zone follows


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12 and int(text) > 0
