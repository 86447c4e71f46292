"""Delivering: claim alerts, send each to its channels, acknowledge.

Belongs here: order of these steps, patience with channels. Does not: SQL (store.outbox), what a channel is (channels).
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from leo_telemetry_pipeline.actions.alerts import is_quiet
from leo_telemetry_pipeline.delivery import messages
from leo_telemetry_pipeline.delivery.channels import Channel, Channels, configured
from leo_telemetry_pipeline.delivery.reachable import Refused
from leo_telemetry_pipeline.delivery.webhook import Failed
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import outbox
from leo_telemetry_pipeline.store.outbox import Claimed
from leo_telemetry_pipeline.store.server.database import Database


@dataclass(frozen=True)
class Patience:
    """How long claims last, how long to wait after failures, and how many failures in a row end a channel's turn."""

    lease_s: float = 180.0
    # A message must end within the lease, on every channel.
    margin_s: float = 60.0
    first_s: float = 5.0
    most_s: float = 6 * 3600.0
    in_a_row: int = 3
    batch: int = 20

    def delay_s(self, attempts: int, chance: float) -> float:
        """Return how long to wait after a number of attempts; ``chance``, from 0 to 1, spreads the load."""
        longest = min(self.most_s, self.first_s * 2.0 ** min(attempts - 1, 30))
        return longest * (1 + chance) / 2


@dataclass(frozen=True)
class Delivered:
    """Number of alerts that all channels have, and the last error of each channel that failed."""

    alerts: int = 0
    errors: dict[str, str] = field(default_factory=dict)


def deliver_due(database: Database, settings: Settings, check: Callable[[], None] = lambda: None) -> Delivered:
    """Deliver what is due to the channels of the settings. ``check`` raises if this process should end."""
    channels = configured(settings)
    if not channels.usable:
        return Delivered(errors=dict(channels.refused))
    done = deliver(database, channels, Patience(), quiet=is_quiet_now(settings), check=check)
    return Delivered(done.alerts, dict(channels.refused) | done.errors)


def is_quiet_now(settings: Settings) -> bool:
    """Return whether only critical alerts may be sent now."""
    return is_quiet(datetime.now(UTC), settings.alert_quiet)


def deliver(
    database: Database,
    channels: Channels,
    patience: Patience,
    *,
    quiet: bool = False,
    check: Callable[[], None] = lambda: None,
) -> Delivered:
    """Deliver all due alerts, and return when none is left or every channel fails."""
    outbox.finish(database, channels.names)
    outbox.expire(database)
    turn = _Turn(channels.usable, patience)
    while claimed := outbox.claim(database, turn.names, patience.batch, patience.lease_s, quiet=quiet):
        ends = time.monotonic() + patience.lease_s - patience.margin_s
        for number, alert in enumerate(claimed):
            if time.monotonic() > ends:
                outbox.release(database, [one.id for one in claimed[number:]])
                break
            check()
            if turn.is_over(alert):
                outbox.release(database, [alert.id])
                continue
            error = turn.send(alert)
            outbox.settle(
                database,
                alert.id,
                turn.accepted,
                channels.names,
                error=error,
                delay_s=patience.delay_s(alert.attempts + 1, random.random()),
            )
            turn.alerts += error is None and len(turn.accepted) == len(alert.channels)
    return Delivered(turn.alerts, turn.errors)


class _Turn:
    """Channels of one delivery, without those that failed several times in a row."""

    def __init__(self, channels: Sequence[Channel], patience: Patience) -> None:
        self._channels = {one.name: one for one in channels}
        self._patience = patience
        self._in_a_row: Counter[str] = Counter()
        self.accepted: list[str] = []
        self.errors: dict[str, str] = {}
        self.alerts = 0

    @property
    def names(self) -> list[str]:
        """Channels that are still tried."""
        return [name for name in self._channels if self._in_a_row[name] < self._patience.in_a_row]

    def is_over(self, alert: Claimed) -> bool:
        """Return whether no channel is left for an alert."""
        return not set(alert.channels).intersection(self.names)

    def send(self, alert: Claimed) -> str | None:
        """Send an alert to the channels that may have it; return the last error. ``accepted`` are the others."""
        message = messages.of(alert)
        self.accepted, error = [], None
        for name in [name for name in self.names if name in alert.channels]:
            try:
                self._channels[name].send(message)
            except (Refused, Failed) as failure:
                error = f"{name}: {failure}"
                self.errors[name] = str(failure)
                self._in_a_row[name] += 1
            else:
                self.accepted.append(name)
                self._in_a_row[name] = 0
        return error
