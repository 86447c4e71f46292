"""Rules for the addresses that webhooks may call. Pure, except for looking up names.

Belongs here: hosts on the list, private ranges, resolving a name. Does not: sending (webhook).
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
# IPv6 addresses of IPv4 hosts behind a translator.
_NAT64 = IPv6Network("64:ff9b::/96")
# The only public unicast addresses. Others may embed IPv4 addresses, in ways that `ipaddress` does not know.
_UNICAST = IPv6Network("2000::/3")
# Of protocols: `ipaddress` calls some of them public.
_PROTOCOLS = IPv4Network("192.0.0.0/24")
# Second half of ISATAP addresses, before the IPv4 address inside.
_ISATAP = (0x00005EFE, 0x02005EFE)


class Refused(Exception):
    """A rule forbids a call; the message says which, without the secret parts of the URL."""


@dataclass(frozen=True)
class Rules:
    """Hosts that may be called (all, if empty), and private networks that may be."""

    hosts: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()

    def check_host(self, host: str) -> None:
        """Raise Refused if a host is not on the list."""
        if self.hosts and not any(fnmatchcase(host.lower(), pattern.lower()) for pattern in self.hosts):
            raise Refused(f"{host} is not in LEO_TELEMETRY_ALERT_HOSTS")

    def check_address(self, address: Address) -> None:
        """Raise Refused for an address that is not public, unless its network is allowed."""
        # A translated address leads to the one inside it.
        meant = _inner(address)
        if self.is_own(meant) or (_is_public(address) and _is_public(meant)):
            return
        raise Refused(f"{address} is not a public address: allow its network with LEO_TELEMETRY_ALERT_NETWORKS")

    def is_own(self, address: Address) -> bool:
        """Return whether an address is in an allowed private network."""
        return any(address in network for network in self.networks)


def resolve(host: str, port: int, rules: Rules) -> list[Address]:
    """Return the addresses of a host, all of which the rules allow. Raises Refused, OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(_parsed(str(entry[4][0])) for entry in found))
    for address in addresses:
        rules.check_address(address)
    return addresses


def literal(host: str) -> Address | None:
    """Return the address that a host is, None if it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _parsed(text: str) -> Address:
    return ip_address(text.partition("%")[0])


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, IPv4Address):
        return address not in _PROTOCOLS
    return address in _UNICAST or address in _NAT64 or address.ipv4_mapped is not None


def _inner(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64 or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    inside: Sequence[IPv4Address | None] = (address.ipv4_mapped, address.sixtofour, (address.teredo or (None, None))[1])
    return next((one for one in inside if one is not None), address)
