"""What the receiver counts, and how Prometheus reads it.

Belongs here: the numbers and their text. Does not: when one of them changes.
"""

from collections import Counter

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "leo_telemetry_receiver_"
_TOTALS = {
    "spans_accepted": "Spans that were stored or written to disk.",
    "spans_rejected": "Spans that were not, as told in partial_success: they are none, or the table refused them.",
    "spans_implausible": "Spans that were stored though their times cannot be true.",
    "spans_new": "Spans that were not in the table before.",
    "spans_quarantined": "Spans that the table refused and that were put aside.",
    "spans_spooled": "Spans written to disk because the database was away.",
    "spans_drained": "Spans brought from disk to the database.",
    "keys_removed": "Attributes that redaction removed.",
    "requests_dropped": "Requests with logs or metrics, which were answered and dropped.",
    "clients_turned_away": "Connections that were refused because all others were busy.",
    "clients_closed_idle": "Idle connections that were closed to make room for others.",
    "clients_of_wrong_protocol": "Connections that spoke gRPC (HTTP/2) or TLS.",
    "body_bytes": "Bytes of bodies as they were sent.",
}


class Metrics:
    """Numbers since the process began; changed from the event loop's thread only."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.seconds = 0.0
        self.in_flight = 0

    def text(self, *, bytes_in_flight: int, database_up: bool) -> str:
        """Return all of it in Prometheus' text format."""
        lines = _head("requests_total", "counter", "Requests by status.")
        lines += [f'{_PREFIX}requests_total{{status="{status}"}} {n}' for status, n in sorted(self.statuses.items())]
        for name, meaning in _TOTALS.items():
            lines += _one(f"{name}_total", "counter", meaning, self.totals[name])
        lines += _head("request_seconds", "summary", "Seconds from a request's head to its answer.")
        lines += [f"{_PREFIX}request_seconds_sum {self.seconds:.6f}"]
        lines += [f"{_PREFIX}request_seconds_count {sum(self.statuses.values())}"]
        lines += _one("requests_in_flight", "gauge", "Requests under way.", self.in_flight)
        lines += _one("body_bytes_in_flight", "gauge", "Bytes of bodies in memory, inflated.", bytes_in_flight)
        lines += _one("database_up", "gauge", "Whether the database took the last spans.", int(database_up))
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP {_PREFIX}{name} {meaning}", f"# TYPE {_PREFIX}{name} {kind}"]


def _one(name: str, kind: str, meaning: str, value: int) -> list[str]:
    return [*_head(name, kind, meaning), f"{_PREFIX}{name} {value}"]
