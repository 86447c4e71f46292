"""Services of spans, and calls between them.

Belongs here: the service of a span, the service that a client span calls, and which spans ran concurrently with their
siblings. Does not: trees (critical_path), charging a call's gap (links).
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from leo_telemetry_pipeline.analysis.clocks import ROUNDING_MS

SERVICE = "service.name"
_NAMES = (SERVICE, "service", "k8s.deployment.name")
_PODS = ("pod", "k8s.pod.name")
_PEERS = ("peer.service", "server.address", "net.peer.name")
_KIND = "span.kind"
_CALLING = ("client", "producer")
# Kubernetes appends the hash of a replica set and a random suffix, both without vowels, or an ordinal.
_REPLICA = re.compile(r"(-[bcdf-hj-np-tv-xz0-9]{6,10})?-[bcdf-hj-np-tv-xz2-9]{5}$|-\d{1,3}$")


def service_of(attributes: Mapping[str, Any]) -> str:
    """Return the service of a span, empty if unknown: its service name, else its pod's name without the replica."""
    if not attributes:
        return ""
    for name in _NAMES:
        if (found := attributes.get(name)) and isinstance(found, str):
            return found
    for name in _PODS:
        if (pod := attributes.get(name)) and isinstance(pod, str):
            return _REPLICA.sub("", pod)
    return ""


def once_each(attributes: Sequence[Mapping[str, Any]], of: Callable[[Mapping[str, Any]], str]) -> list[str]:
    """Return a function of the attributes of each span, called once per object: spans of a trace share few."""
    places = [*map(id, attributes)]
    known = {place: of(one) for place, one in dict(zip(places, attributes, strict=True)).items()}
    return [known[place] for place in places]


def has_several(services: Sequence[str]) -> bool:
    """Return whether spans are of several services, and so may call each other."""
    return len({*services} - {""}) > 1


def with_calls(traces: Sequence[str], services: Sequence[str], parents: Sequence[int]) -> set[str]:
    """Return the traces in which a span and its parent are of different services."""
    if not has_several(services):
        return set()
    return {
        traces[row]
        for row, parent in enumerate(parents)
        if parent >= 0 and "" not in (services[row], services[parent]) and services[row] != services[parent]
    }


def below_clients(
    parents: Sequence[int],
    is_known: Sequence[bool],
    services: Sequence[str],
    start: Sequence[float],
    end: Sequence[float],
) -> list[int]:
    """Return the parents; a server span that was reported as a sibling of its client span becomes its child.

    The client span is the shortest sibling without children that encloses the server span and no third service's span.
    ``is_known``: whether the span's own parent was found; others were only attached to their trace.
    """
    if not has_several(services):
        return list(parents)
    above, remote, leaves = set(parents), defaultdict(list), defaultdict(list)
    for row, parent in enumerate(parents):
        if parent >= 0 and "" not in (services[row], services[parent]):
            if services[row] != services[parent]:
                remote[parent] += [row] * is_known[row]
            elif row not in above:
                leaves[parent].append(row)
    found = list(parents)
    for parent, servers in remote.items():
        for client in sorted(leaves[parent], key=lambda row: start[row] - end[row]):
            inside = [row for row in servers if start[client] <= start[row] and end[row] <= end[client]]
            if len({services[row] for row in inside}) == 1:
                # Shorter spans come later, and win.
                for row in inside:
                    found[row] = client
    return found


def callees(
    services: Sequence[str],
    attributes: Sequence[Mapping[str, Any]],
    parents: Sequence[int],
    children: Sequence[Sequence[int]],
) -> list[str]:
    """Return for each span the service that it calls, empty if it is not a call to another service.

    A call is a client span, or a span whose children are all of another service. Without children, the address of its
    peer names the service.
    """
    known = set(services)
    peers = once_each(attributes, lambda one: _peer(one, known))
    if not known - {""} or (not has_several(services) and not any(peers)):
        return [""] * len(services)
    kinds = once_each(attributes, lambda one: _text(one, _KIND))
    found = []
    for row, own in enumerate(services):
        called, below = "", children[row]
        kind = kinds[row]
        remote = [services[child] for child in below if services[child] not in ("", own)]
        if own and remote and (kind in _CALLING or (not kind and len(remote) == len(below))):
            called = remote[0]
        elif (
            own
            and not below
            and (kind in _CALLING or (not kind and parents[row] >= 0 and services[parents[row]] == own))
        ):
            called = peers[row]
        found.append(called)
    return found


def beside(
    row: int, services: Sequence[str], start: Sequence[float], end: Sequence[float], children: Sequence[Sequence[int]]
) -> list[int]:
    """Return the children of a span that may have run concurrently with their siblings, shortest first.

    They have no children, and their service is that of the span or of a sibling with children: filters, listeners,
    asynchronous work. Often one of them ends last, although it merely waits for the real work, or nothing waits for it.
    """
    working = {services[row], *(services[child] for child in children[row] if children[child])} - {""}
    below = [child for child in children[row] if not children[child] and services[child] in working]
    return sorted(below, key=lambda child: end[child] - start[child])


def labelled(key: str, service: str) -> str:
    """Return the name of spans of a key in a service, as a combined dimension; without a service, the key itself."""
    span_type, _, name = key.partition(":")
    return f"{span_type}+{SERVICE}:{name}:{service}" if service else key


def plain(label: str) -> tuple[str, str]:
    """Return the key and the service (empty for none) from a name that ``labelled`` made."""
    combined, _, rest = label.partition(":")
    span_type, plus, _ = combined.partition("+")
    if not plus:
        return label, ""
    name, _, service = rest.rpartition(":")
    return f"{span_type}:{name}", service


def outlives(row: int, parent: int, services: Sequence[str], end: Sequence[float]) -> bool:
    """Return whether a span ended after a parent of the same service and clock, and so was not awaited."""
    return services[row] == services[parent] != "" and end[row] > end[parent] + ROUNDING_MS


def _peer(attributes: Mapping[str, Any], known: set[str]) -> str:
    peer = next((found for name in _PEERS if (found := _text(attributes, name))), "")
    host = peer.partition(".")[0]
    return host if host in known else peer


def _text(attributes: Mapping[str, Any], name: str) -> str:
    value = attributes.get(name)
    return value if isinstance(value, str) else ""
