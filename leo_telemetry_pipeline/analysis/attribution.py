"""Attribution of a dimension's added time: traces of the window compared with those of the baseline.

Belongs here: charging added time to spans below, to waiting, and to the dimension's own work. Does not: walking a
trace (critical_path), which dimensions share a cause (causes). Charges that may be due to chance count as 0.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from leo_telemetry_pipeline.analysis import links
from leo_telemetry_pipeline.analysis.critical_path import Forest, rows_of
from leo_telemetry_pipeline.analysis.places import (
    CALL,
    MIX,
    OWN,
    QUEUE,
    Charge,
    Places,
    PlaceSums,
    charges_of,
    records_of,
    sums_of,
)
from leo_telemetry_pipeline.analysis.services import plain

# Trimmed share on each side: one trace that hung overnight must not dominate a mean.
TRIMMED = 0.025
# In standard errors; in 1 of 40 comparisons of about twenty parts, some part passes without having changed.
SEPARATED = 3.0
# Fewer spans than this are too few to estimate a variance.
LEAST_TO_TEST = 5
LEAST_SHARE = 0.01
# Own time is explained if its share of the added time is at least this.
MOSTLY = 0.5
# If the added time of the sample differs from that of all spans by more than this factor, both are shown.
ALIKE = 2.0
# Calls count as more frequent from this factor on.
MORE_OFTEN = 1.2
# A slower part keeps at least this share of its added time, even if more time moved off the critical path.
LEAST_LEFT = 0.1


@dataclass(frozen=True)
class AddedPart:
    """One part of the added time; ``share`` is 0 to 1.

    ``kind``: ``span`` (a span below), ``own`` (the dimension's own work), ``queue`` (waiting for ``key`` to begin),
    ``wait`` (for a person), ``call`` (between client and server spans) or ``mix`` (in ``key``, which did not get
    slower, but consists of other work). ``calls_*``: mean number of calls per span of the dimension;
    ``is_called_more``: significantly. ``note``: explains own time. ``ms``: added per span of the dimension, on average.
    """

    kind: str
    key: str
    share: float
    calls_before: float
    calls_after: float
    note: str = ""
    is_called_more: bool = False
    ms: float = 0.0


@dataclass(frozen=True)
class Attribution:
    """Why a dimension's judged time grew by ``added_ms``, the difference of medians.

    ``parts``: largest first; empty if no part got significantly slower. ``mean_ms``: the difference of the trimmed
    means, of which they are parts.
    """

    dimension_type: str
    dimension_key: str
    added_ms: float
    window_count: int
    baseline_count: int
    parts: tuple[AddedPart, ...]
    mean_ms: float = 0.0


def attribute(
    window: Forest,
    baseline: Forest,
    dimension_type: str,
    dimension_key: str,
    ends: Mapping[links.Link, str] | None = None,
    mixed: Collection[str] = (),
) -> Attribution | None:
    """Attribute the added time of a dimension's spans since the baseline; None if a side has no spans.

    ``ends``: the result of ``links.ends`` for both sides, if known. ``mixed``: types and names of the spans that only
    consist of other work than before.
    """
    rows = [rows_of(trees, dimension_type, dimension_key) for trees in (window, baseline)]
    if not all(rows):
        return None
    judged = [trees.judged[found] for trees, found in zip((window, baseline), rows, strict=True)]
    added = float(np.median(judged[0]) - np.median(judged[1]))
    middle = [_middle(times) for times in judged]
    mean = float(judged[0][middle[0]].mean() - judged[1][middle[1]].mean())
    parts: tuple[AddedPart, ...] = ()
    if added > 0 or mean > 0:
        services = {*window.services, *baseline.services} - {""}
        places = Places(services, ends or links.ends(window, baseline), mixed)
        kept = [np.array(found)[at] for found, at in zip(rows, middle, strict=True)]
        records = [
            records_of(trees, found.tolist(), places) for trees, found in zip((window, baseline), kept, strict=True)
        ]
        after, before = (sums_of(len(found), each, places) for found, each in zip(kept, records, strict=True))
        parts = _parts(before, after, places)
    return Attribution(dimension_type, dimension_key, added, len(rows[0]), len(rows[1]), parts, mean)


def line(attribution: Attribution, most: int = 5, added_ms: float | None = None) -> str:
    """Return one line such as ``handoff:X +64 s: subagent:DESIGN 84 %, waiting in queue of gate:A 11 %, own time 5 %``.

    Names the ``most`` largest parts; the rest is ``other``. ``added_ms``: the difference of the P50s of all spans.
    """
    shares: dict[str, float] = defaultdict(float)
    for part in attribution.parts:
        shares[_name(part)] += part.share
    ordered = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    shown = ordered[:most]
    if rest := sum(share for _, share in ordered[most:]):
        shown.append(("other", rest))
    percents = _whole([share for _, share in shown])
    listed = ", ".join(f"{name} {percent} %" for (name, _), percent in zip(shown, percents, strict=True))
    head = f"{attribution.dimension_type}:{attribution.dimension_key} {_head(attribution, added_ms)}"
    return f"{head}: {listed or 'no part stands out'}"


def _head(attribution: Attribution, added_ms: float | None) -> str:
    """Return the added time that is divided among the parts, and that of all spans where it differs."""
    sampled = _added(attribution.added_ms)
    if attribution.parts and attribution.added_ms <= 0:
        sampled = f"{_added(attribution.mean_ms)} on average"
    if added_ms is None:
        return sampled
    is_alike = added_ms / ALIKE <= attribution.added_ms <= added_ms * ALIKE
    return _added(added_ms) if is_alike else f"{_added(added_ms)}, {sampled} in the traces compared"


def _name(part: AddedPart) -> str:
    if part.kind == CALL:
        return part.key
    key, service = plain(part.key)
    within = f"{key} in {service}" if service else key
    if part.kind == QUEUE:
        return f"waiting in queue of {within}"
    if part.kind == OWN:
        note = f" ({part.note})" if part.note and part.share >= MOSTLY else ""
        return (f"own time in {service}" if service else "own time") + note
    if part.kind == MIX:
        return f"another mix of work in {within}"
    often = f" ({part.calls_after:.1f} calls, were {part.calls_before:.1f})" if part.is_called_more else ""
    return f"{within}{often}"


def _added(ms: float) -> str:
    return (
        f"{ms / 1000:+,.0f} s"
        if abs(ms) >= 9_950
        else f"{ms / 1000:+.1f} s"
        if abs(ms) >= 950
        else f"{ms:+.2g} ms"
        if 0.0005 <= abs(ms) < 9.95
        else f"{ms:+.0f} ms"
    )


def _whole(shares: Sequence[float]) -> list[int]:
    # Largest remainder method: the rounded percentages still sum to 100.
    exact = np.array(shares) * 100
    floors = np.floor(exact).astype(int)
    missing = round(float(exact.sum())) - int(floors.sum())
    floors[np.argsort(floors - exact, kind="stable")[:missing]] += 1
    return floors.tolist()


def _middle(judged: np.ndarray) -> np.ndarray:
    cut = math.ceil(len(judged) * TRIMMED) if len(judged) > 2 * LEAST_TO_TEST else 0
    return np.sort(np.argsort(judged, kind="stable")[cut : len(judged) - cut])


def _parts(before: PlaceSums, after: PlaceSums, places: Places) -> tuple[AddedPart, ...]:
    charges, moved = charges_of(before, after, places)
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for charge in charges:
        sums[charge.kind, charge.key][0] += charge.ms
        sums[charge.kind, charge.key][1] += charge.variance
    tested = min(len(before.awaited), len(after.awaited)) >= LEAST_TO_TEST
    limit = SEPARATED if tested else 0.0
    least = LEAST_SHARE * max(ms for ms, _ in sums.values())
    # That a mix changed is known from many more spans than these.
    errors = {name: 0.0 if name[0] == MIX else limit * math.sqrt(variance) for name, (_, variance) in sums.items()}
    kept = {name: ms for name, (ms, _) in sums.items() if ms > max(errors[name], least, 0.0)}
    forks = places.forks(before, after)
    for fork in {fork for fork in forks if fork >= 0}:
        at = [place for place, found in enumerate(forks) if found == fork]
        is_chance = _is_chance(before, after, at, limit)
        inside = places.below(fork)
        _settle_moved(
            kept, [each for each in charges if each.place in inside], moved, at, None if is_chance else places
        )
    return _shares(kept, before, after, places)


def _settle_moved(
    kept: dict[tuple[str, str], float],
    charges: Sequence[Charge],
    moved: np.ndarray,
    at: list[int],
    otherwise: Places | None,
) -> None:
    """Charge the time that moved onto the critical path at the concurrent places ``at`` to the slower ``charges``.

    If none is slower, the places stopped being concurrent: given ``otherwise``, each is charged the time that moved
    onto the path at it.
    """
    pool = float(moved[at].sum())
    slower = [charge for charge in charges if charge.ms > 0 and (charge.kind, charge.key) in kept]
    total = sum(charge.ms for charge in slower)
    for charge in slower:
        kept[charge.kind, charge.key] += max(pool, (LEAST_LEFT - 1) * total) * charge.ms / total
    if slower or pool <= 0 or otherwise is None:
        return
    onto, names = [place for place in at if moved[place] > 0], otherwise.own()
    for place in onto:
        name = names[place]
        kept[name] = kept.get(name, 0.0) + pool * float(moved[place] / moved[onto].sum())


def _is_chance(before: PlaceSums, after: PlaceSums, below: list[int], limit: float) -> bool:
    old, new = (side.awaited[:, below].sum(axis=1) for side in (before, after))
    return bool(new.mean() - old.mean() <= limit * math.sqrt(old.var() / len(old) + new.var() / len(new)))


def _shares(
    kept: Mapping[tuple[str, str], float], before: PlaceSums, after: PlaceSums, places: Places
) -> tuple[AddedPart, ...]:
    total = sum(kept.values())
    large = {name: ms for name, ms in kept.items() if ms > LEAST_SHARE * total}
    total = sum(large.values())
    found = []
    for (kind, key), ms in large.items():
        at = [place for place, of in enumerate(places.keys) if of == key]
        if kind == CALL:
            at = [place for place, link in places.links.items() if places.ends[link] == key]
        old, new = (float(side.calls[at].sum()) for side in (before, after))
        note = _around(at, before, after, places) if kind == OWN else ""
        is_more = any(_is_called_more(before, after, place) for place in at)
        found.append(AddedPart(kind, key, float(ms / total), old, new, note, is_more, float(ms)))
    return tuple(sorted(found, key=lambda part: (-part.share, part.kind, part.key)))


def _around(at: Sequence[int], before: PlaceSums, after: PlaceSums, places: Places) -> str:
    """Return where the own time of places lies, in words: around more calls, or outside the spans below, if any."""
    below = [place for place, above in enumerate(places.above) if above in at]
    if not below:
        return "no spans below it"
    more = [place for place in below if _is_called_more(before, after, place)]
    if not more:
        return "outside the spans below it"
    place = max(more, key=lambda each: after.calls[each] - before.calls[each])
    key, service = plain(places.keys[place])
    name = f"{key} in {service}" if service else key
    return f"around {after.calls[place]:.1f} calls of {name}, were {before.calls[place]:.1f}"


def _is_called_more(before: PlaceSums, after: PlaceSums, place: int) -> bool:
    """Return whether a place is called more often per call of its parent, by more than chance."""
    old, new = before.rate[place], after.rate[place]
    if old == 0:
        return new * len(after.awaited) >= LEAST_TO_TEST
    error = math.sqrt(before.rate_variance[place] + after.rate_variance[place])
    return new > MORE_OFTEN * old and math.log(new / old) > SEPARATED * error
