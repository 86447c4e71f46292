"""Listening socket of the receiver.

Belongs here: addresses and sockets, without heavy imports. Does not: serving (server).
"""

import ipaddress
import socket

# The kernel's buffer is read at once, so this bounds our memory too.
_RECEIVE_BUFFER = 64 << 10
# Pending connections; the kernel has its own limit (net.core.somaxconn).
BACKLOG = 2048


def address(host: str, port: int) -> tuple[socket.AddressFamily, tuple]:
    """Return the family and address of a host name or IP address. Raises OSError for anything else."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return addresses[0][0], addresses[0][4]


def is_loopback(place: tuple) -> bool:
    """Return whether only this machine can reach an address."""
    return ipaddress.ip_address(str(place[0]).partition("%")[0]).is_loopback


def url(host: str, port: int) -> str:
    """Return the URL of a receiver for OTEL_EXPORTER_OTLP_ENDPOINT."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listening(family: socket.AddressFamily, place: tuple) -> socket.socket:
    """Open a socket at an address. Raises OSError if it is in use."""
    # asyncio sets TCP_NODELAY only if the protocol is named; without it each response takes 40 ms.
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
