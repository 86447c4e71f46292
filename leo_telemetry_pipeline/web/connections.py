"""Open connections, limited in number: the longest idle one is closed to make room for a new one.

Belongs here: counting, and the order of idle connections. Does not: sockets and deadlines (server).
"""

import resource
from typing import Protocol

# Descriptors per client; the rest is for connections not accepted yet, the database and files.
_SHARE = 2


class Connection(Protocol):
    """A connection that can be closed while idle."""

    def close_idle(self) -> None:
        """Close it; no request is in progress."""


class Connections:
    """The open connections of a server, at most ``most`` of them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._open: set[Connection] = set()
        # Idle connections, in the order in which they became idle.
        self._idle: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def opened(self, connection: Connection) -> bool | None:
        """Add a new connection, which is idle at first.

        Return True if there was room, False if an idle one was closed for it, None if it cannot be accepted.
        """
        made_room = len(self._open) >= self.most
        if made_room:
            longest_idle = next(iter(self._idle), None)
            if longest_idle is None:
                return None
            self.closed(longest_idle)
            longest_idle.close_idle()
        self._open.add(connection)
        self._idle[connection] = None
        return not made_room

    def set_idle(self, connection: Connection, idle: bool) -> None:
        """Record whether an open connection is idle."""
        if not idle:
            self._idle.pop(connection, None)
        elif connection in self._open and connection not in self._idle:
            self._idle[connection] = None

    def closed(self, connection: Connection) -> None:
        """Remove a connection."""
        self._open.discard(connection)
        self._idle.pop(connection, None)


def room_for(clients: int) -> int:
    """Raise this process's limit of open files as needed, and return how many of ``clients`` it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _SHARE * clients
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return clients
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if most > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        except (OSError, ValueError):  # macOS enforces a lower limit than it reports
            most = soft
    return max(1, min(clients, most // _SHARE))
