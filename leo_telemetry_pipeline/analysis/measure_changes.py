"""Sentences on what takes longer inside the spans of a slow dimension: the first token, the rest, or waiting.

Belongs here: comparing measures of spans of the window and the baseline, in words, if the difference is clear.
Does not: defining measures (span_measures), spans below (attribution).
"""

from collections.abc import Iterator, Sequence

import numpy as np

from leo_telemetry_pipeline.analysis.critical_path import WAIT, Forest, mapping, rows_of
from leo_telemetry_pipeline.analysis.span_measures import CACHED, FIRST_TOKEN, INPUT, OUTPUT, value_of

# Fewer spans than this are too few for a median.
LEAST_SPANS = 8
# Least share of the added time at which the time before or after the first token explains it alone.
ALONE = 0.8
# Tokens or time per token grew if the median grew by more than this factor.
GREW = 1.25
# Least share of the added time at which waits below the spans explain it.
WAITING = 0.5
# Excluded waiting is reported if it is at least this share of the judged time.
NOTICED = 0.01

Sides = Sequence[tuple[Forest, Sequence[int]]]


def changes_of(after: Forest, before: Forest, dimension_type: str, dimension_key: str) -> list[str]:
    """Return sentences on what the measures of a dimension's spans show about its added time."""
    sides = [(trees, rows_of(trees, dimension_type, dimension_key)) for trees in (after, before)]
    if min(len(rows) for _, rows in sides) < LEAST_SPANS:
        return []
    return [*_around_first_token(sides), *_waiting(sides, dimension_key)]


def _around_first_token(sides: Sides) -> Iterator[str]:
    judged = [trees.judged[rows] for trees, rows in sides]
    first = [_values(trees, rows, FIRST_TOKEN) for trees, rows in sides]
    known = [~np.isnan(values) for values in first]
    if min(int(there.sum()) for there in known) < LEAST_SPANS:
        return
    rest = [np.clip(times - values, 0, None) for times, values in zip(judged, first, strict=True)]
    (first_now, first_was), (rest_now, rest_was) = (
        [float(np.median(values[there])) for values, there in zip(of, known, strict=True)] for of in (first, rest)
    )
    of_first, of_rest = max(first_now - first_was, 0.0), max(rest_now - rest_was, 0.0)
    if not of_first + of_rest:
        return
    share = of_first / (of_first + of_rest)
    before = f"time to first token {_time(first_now)}, was {_time(first_was)}{_more(sides, (INPUT, CACHED), 'in')}"
    after = f"after the first token {_time(rest_now)}, was {_time(rest_was)}{_pace(sides, rest)}"
    if share >= ALONE:
        yield f"{before}; the rest is not slower"
    elif share <= 1 - ALONE:
        yield f"{after}; the first token does not come later"
    else:
        yield f"{before}; {after}"


def _more(sides: Sides, names: Sequence[str], word: str) -> str:
    now, was = (_median(sum(np.nan_to_num(_values(*side, name)) for name in names)) for side in sides)  # type: ignore[arg-type]
    return f" ({now:,.0f} tokens {word}, were {was:,.0f})" if was and now > GREW * was else ""


def _pace(sides: Sides, rest: Sequence[np.ndarray]) -> str:
    """Say whether there were more output tokens or each took longer, if exactly one is true; else return ""."""
    tokens = [_values(*side, OUTPUT) for side in sides]
    known = [(values > 0) & ~np.isnan(times) for values, times in zip(tokens, rest, strict=True)]
    if min(int(there.sum()) for there in known) < LEAST_SPANS:
        return ""
    now, was = (_median(values[there]) for values, there in zip(tokens, known, strict=True))
    each_now, each_was = (
        _median(times[there] / values[there]) for times, values, there in zip(rest, tokens, known, strict=True)
    )
    if now > GREW * was and each_now <= GREW * each_was:
        return f" ({now:,.0f} tokens out, were {was:,.0f})"
    if each_now > GREW * each_was and now <= GREW * was:
        return f" ({each_now:.1f} ms per token out, were {each_was:.1f})"
    return ""


def _waiting(sides: Sides, name: str) -> Iterator[str]:
    """Yield a sentence if waiting for a person explains the added time, or if much of such waiting is excluded."""
    (aside_now, inside_now), (aside_was, inside_was) = (_waited(trees, rows, name) for trees, rows in sides)
    judged_now, judged_was = (_median(trees.judged[rows]) for trees, rows in sides)
    more_inside, added = inside_now - inside_was, judged_now - judged_was
    if more_inside > 0 and more_inside >= WAITING * added:
        yield (
            f"spans below it wait for a person, {_time(inside_now)} per span, was {_time(inside_was)}:"
            " it is waiting, not working"
        )
    elif max(aside_now, aside_was) >= NOTICED * judged_now:
        yield f"it is working, not waiting: its waits for a person, {_time(aside_now)} per span, are left out"


def _waited(trees: Forest, rows: Sequence[int], name: str) -> tuple[float, float]:
    """Return the waits in ms per span: those excluded from its judged time, and deeper ones, which are included."""
    parents = {trees.parents[row] for row in rows} - {-1}
    key = f"{WAIT}:{name}"
    aside = {row for parent in rows for row in trees.children[parent] if trees.types[row] == WAIT}
    inside, left = set(), [child for row in rows for child in trees.children[row] if child not in aside]
    while left:
        row = left.pop()
        if trees.types[row] == WAIT:
            inside.add(row)
        left += trees.children[row]
    aside |= {row for parent in parents for row in trees.children[parent] if trees.keys[row] == key}
    aside_ms, inside_ms = (sum(trees.end[row] - trees.start[row] for row in waits) for waits in (aside, inside))
    return aside_ms / len(rows), inside_ms / len(rows)


def _values(trees: Forest, rows: Sequence[int], name: str) -> np.ndarray:
    found = (value_of(mapping(trees.attributes[row]), name) for row in rows)
    return np.array([np.nan if value is None else value for value in found], dtype=float)


def _median(values: np.ndarray) -> float:
    return float(np.median(values))


def _time(ms: float) -> str:
    if 0.0005 <= ms < 9.95:
        return f"{ms:.2g} ms"
    return f"{ms:.0f} ms" if ms < 950 else f"{ms / 1000:.1f} s"
