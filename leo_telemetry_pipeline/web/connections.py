"""Which connections are open, and which idle one goes when there is no room for another.

Belongs here: counting, and the order of idle connections. Does not: sockets and deadlines (server).
"""

import resource
from typing import Protocol

# Of the descriptors that a process may have open, the others are for connections that nobody looked at yet, the
# database and files.
_SHARE = 2


class Connection(Protocol):
    """A connection that can be told to end."""

    def close_idle(self) -> None:
        """End it, since nothing is under way on it."""


class Connections:
    """The open connections of a server, at most ``most`` of them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._open: set[Connection] = set()
        # In the order in which they became idle.
        self._idle: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def opened(self, connection: Connection) -> bool | None:
        """Take a new connection, which is idle at first.

        Return True where there was room, False where an idle one was closed for it, None where it cannot be taken.
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

    def is_idle(self, connection: Connection, idle: bool) -> None:
        """Note whether a request is under way on an open connection."""
        if not idle:
            self._idle.pop(connection, None)
        elif connection in self._open and connection not in self._idle:
            self._idle[connection] = None

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open.discard(connection)
        self._idle.pop(connection, None)


def room_for(clients: int) -> int:
    """Let this process open as many descriptors as it may, and return for how many of ``clients`` that is enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _SHARE * clients
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return clients
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if most > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        except (OSError, ValueError):  # macOS has a lower limit that it does not tell
            most = soft
    return max(1, min(clients, most // _SHARE))
