"""Metrics of the receiver in Prometheus' text format.

Belongs here: the counters and their text. Does not: when they change.
"""

from collections import Counter

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "leo_telemetry_receiver_"
_TOTALS = {
    "spans_accepted": "Spans that were stored or written to disk.",
    "spans_rejected": "Spans reported as rejected in partial_success: invalid, or refused by the table.",
    "spans_implausible": "Spans that were stored although their times are impossible.",
    "spans_new": "Spans that were not in the table before.",
    "spans_quarantined": "Spans that the table refused and that were quarantined.",
    "spans_spooled": "Spans written to disk because the database was away.",
    "spans_drained": "Spans moved from disk to the database.",
    "keys_removed": "Attributes that redaction removed.",
    "requests_dropped": "Requests with logs or metrics, which were accepted and dropped.",
    "clients_turned_away": "Connections that were refused because all connections were busy.",
    "clients_closed_idle": "Idle connections that were closed to make room for others.",
    "clients_of_wrong_protocol": "Connections that spoke gRPC (HTTP/2) or TLS.",
    "body_bytes": "Bytes of bodies as sent.",
}


class Metrics:
    """Counters since the process started; changed only from the event loop's thread."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.seconds = 0.0
        self.in_flight = 0

    def text(self, *, bytes_in_flight: int, database_up: bool) -> str:
        """Return all metrics in Prometheus' text format."""
        lines = _head("requests_total", "counter", "Requests by status.")
        lines += [f'{_PREFIX}requests_total{{status="{status}"}} {n}' for status, n in sorted(self.statuses.items())]
        for name, meaning in _TOTALS.items():
            lines += _metric(f"{name}_total", "counter", meaning, self.totals[name])
        lines += _head("request_seconds", "summary", "Seconds from the head of a request to its response.")
        lines += [f"{_PREFIX}request_seconds_sum {self.seconds:.6f}"]
        lines += [f"{_PREFIX}request_seconds_count {sum(self.statuses.values())}"]
        lines += _metric("requests_in_flight", "gauge", "Requests in progress.", self.in_flight)
        lines += _metric("body_bytes_in_flight", "gauge", "Bytes of bodies in memory, inflated.", bytes_in_flight)
        lines += _metric("database_up", "gauge", "Whether the database accepted the last spans.", int(database_up))
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP {_PREFIX}{name} {meaning}", f"# TYPE {_PREFIX}{name} {kind}"]


def _metric(name: str, kind: str, meaning: str, value: int) -> list[str]:
    return [*_head(name, kind, meaning), f"{_PREFIX}{name} {value}"]
