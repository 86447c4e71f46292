"""The socket of the receiver. Imported by commands that only ask whether it can be opened, so it is light.

Belongs here: addresses and sockets. Does not: serving (server).
"""

import ipaddress
import socket

# What the kernel holds of a connection is read in one go, so this bounds our memory too.
_RECEIVE_BUFFER = 64 << 10
# Of connections that come at the same moment; the kernel has a limit of its own (net.core.somaxconn).
BACKLOG = 2048


def address(host: str, port: int) -> tuple[socket.AddressFamily, tuple]:
    """Return family and address of a name or number to listen at. Raises OSError for anything else."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return found[0][0], found[0][4]


def is_loopback(place: tuple) -> bool:
    """Tell whether only this machine can reach an address."""
    return ipaddress.ip_address(str(place[0]).partition("%")[0]).is_loopback


def url(host: str, port: int) -> str:
    """Return the address of a receiver as clients take it in OTEL_EXPORTER_OTLP_ENDPOINT."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listening(family: socket.AddressFamily, place: tuple) -> socket.socket:
    """Open a socket at an address. Raises OSError when it is in use."""
    # asyncio sends answers without delay only where the protocol is named: otherwise each takes 40 ms.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        opened.bind(place)
        opened.listen(BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened
