"""Calls between services: which service explains the time between client and server spans.

Belongs here: choosing the service that explains slower links. Does not: which spans are calls (services).

A link is a caller and a callee. Between the two spans of a call lie the network and both ends of it, so one slower link
does not tell which end is slow. A service explains its links if all calls to it, from it, or both, are slower by about
the same time. If the callee explains about as much as another service, the callee is named.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from leo_telemetry_pipeline.analysis.critical_path import Forest

Link = tuple[str, str]
TO, BOTH, FROM = "calls to", "calls to and from", "calls from"
# A link is slower if its gap grew by more than this many standard errors.
SEPARATED = 3.0
# Fewer calls than this are too few to estimate an error.
LEAST_CALLS = 5
# A service other than the callee is named only if it explains more time by this factor.
CLEARLY = 1.15


@dataclass(frozen=True)
class Gap:
    """Change in ms of the mean time between the two spans of a link's calls, and the number of calls in the window."""

    ms: float
    calls: int
    is_slower: bool


def ends(window: Forest, baseline: Forest) -> dict[Link, str]:
    """Return for each link what explains its time, such as ``calls to shop``; by default the calls to its callee."""
    gaps = _gaps(window, baseline)
    found = {link: f"{TO} {link[1]}" for trees in (window, baseline) for link in _links(trees).values()}
    left = {link for link, gap in gaps.items() if gap.is_slower}
    while left:
        name, explained = _best(gaps, left)
        found |= dict.fromkeys(explained, name)
        left -= explained
        gaps = {link: gap for link, gap in gaps.items() if link not in explained}
    return found


def _best(gaps: Mapping[Link, Gap], left: set[Link]) -> tuple[str, set[Link]]:
    """Return the name that explains the most time, and the slower links that it explains."""
    scores = {
        (words, service): (_explained([gaps[link] for link in of]), of & left)
        for words, service, of in _choices(gaps)
        if of & left
    }
    best = max(scores, key=lambda name: scores[name][0])
    callee = max((name for name in scores if name[0] == TO), key=lambda name: scores[name][0])
    if scores[best][0] <= CLEARLY * scores[callee][0]:
        best = callee
    return " ".join(best), scores[best][1]


def _choices(links: Mapping[Link, Gap]) -> Iterator[tuple[str, str, set[Link]]]:
    for service in sorted({service for link in links for service in link}):
        to, from_ = ({link for link in links if link[end] == service} for end in (1, 0))
        yield TO, service, to
        yield FROM, service, from_
        if to and from_:
            yield BOTH, service, to | from_


def _explained(gaps: list[Gap]) -> float:
    """Return the time that one common change per call explains, in ms."""
    ms, calls = np.array([gap.ms for gap in gaps]), np.array([gap.calls for gap in gaps], dtype=float)
    return float(max((calls * (np.abs(ms) - np.abs(ms - common))).sum() for common in ms))


def _gaps(window: Forest, baseline: Forest) -> dict[Link, Gap]:
    after, before = (_times(trees) for trees in (window, baseline))
    gaps = {}
    for link in after.keys() & before.keys():
        now, was = (np.array(side[link]) for side in (after, before))
        ms = float(now.mean() - was.mean())
        error = float(np.sqrt(now.var() / len(now) + was.var() / len(was)))
        gaps[link] = Gap(ms, len(now), min(len(now), len(was)) >= LEAST_CALLS and ms > SEPARATED * error)
    return gaps


def _times(trees: Forest) -> dict[Link, list[float]]:
    times: dict[Link, list[float]] = defaultdict(list)
    for row, link in _links(trees).items():
        length, upto = trees.end[row] - trees.start[row], trees.end[row]
        for child in trees.children[row]:
            # Latest end first.
            upto, covered = min(upto, trees.start[child]), min(upto, trees.end[child]) - trees.start[child]
            length -= max(covered, 0.0)
        times[link].append(max(length, 0.0))
    return times


def _links(trees: Forest) -> dict[int, Link]:
    return {row: (trees.services[row], callee) for row, callee in enumerate(trees.callees) if callee}
