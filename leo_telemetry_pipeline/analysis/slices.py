"""Slices of a dimension: its spans by the value of an attribute, such as ``gate+sd_type:G:feature`` of ``gate:G``.

Belongs here: which dimensions are slices of which, and which slow slices tell no more than their dimension. Does not:
which attributes are counted (store.history.slice_choice), whether a slice is slow (judgement), a changed mix (mixes).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from leo_telemetry_pipeline.dimension import Dimension, Judgement

# The slices of each dimension, by attribute.
Slices = Mapping[Dimension, Mapping[str, Sequence[Dimension]]]

HANDOFF = "handoff"
# A slice is slow by itself if the others rose at most by this fraction of its rise (of logarithms).
OTHERS_ROSE = 0.5


def slices_of(dimensions: Iterable[Dimension]) -> dict[Dimension, dict[str, list[Dimension]]]:
    """Return the slices of each dimension that has some.

    The slices of ``gate:G`` are ``gate+sd_type:G:...``; those of ``sd_type:feature`` are the handoffs of this type.
    """
    there = sorted(dimensions)
    known = set(there)
    found: dict[Dimension, dict[str, list[Dimension]]] = {}
    for slice_ in there:
        span_type, plus, attribute = slice_[0].partition("+")
        names = _names(slice_[1]) if plus else []
        wholes = [((span_type, name), attribute) for name, _ in names]
        kinds = [((attribute, value), span_type) for _, value in names] if span_type == HANDOFF else []
        for candidates in (wholes, kinds):
            if whole := next((each for each in candidates if each[0] in known), None):
                found.setdefault(whole[0], {}).setdefault(whole[1], []).append(slice_)
    return found


def _names(key: str) -> list[tuple[str, str]]:
    """Return the pairs of name and value that a key may consist of, the longest name first."""
    places = [place for place, character in enumerate(key) if character == ":"]
    return [(key[:place], key[place + 1 :]) for place in reversed(places)]


def value_of(whole: Dimension, slice_: Dimension) -> str:
    """Return the value by which a slice differs from its dimension."""
    is_by_name = slice_[0].partition("+")[0] == whole[0]
    return slice_[1][len(whole[1]) + 1 :] if is_by_name else slice_[1][: -len(whole[1]) - 1]


def slow_alone(judged: Iterable[Judgement], slices: Slices) -> dict[Dimension, tuple[str, str]]:
    """Return attribute and value of the slow slices that the other slices do not resemble, by dimension of the whole.

    If several are, that with the highest ratio.
    """
    by_name = {one.dimension: one for one in judged}
    alone: dict[Dimension, tuple[float, tuple[str, str]]] = {}
    for whole, attribute, names in _each(slices):
        for one in _slow(names, by_name):
            if is_alone(one, names, by_name) and (one.ratio or 0.0) > alone.get(whole, (0.0,))[0]:
                alone[whole] = one.ratio or 0.0, (attribute, value_of(whole, one.dimension))
    return {whole: named for whole, (_, named) in alone.items()}


def like_wholes(judged: Sequence[Judgement], slices: Slices, counted: Collection[str]) -> list[Judgement]:
    """Return the judgements, with those slow slices marked that only tell what is known of a slow dimension.

    ``counted``: the types that were chosen as slices; other types are marked only where the mix changed.
    """
    by_name = {one.dimension: one for one in judged}
    for whole, _, names in _each(slices):
        outcome = by_name[whole].outcome if whole in by_name else None
        for one in _slow(names, by_name) if outcome in ("bottleneck", "mix") else ():
            if (outcome == "mix" or one.dimension_type in counted) and not is_alone(one, names, by_name):
                by_name[one.dimension] = replace(one, is_like_whole=True)
    return [by_name[one.dimension] for one in judged]


def is_alone(one: Judgement, names: Iterable[Dimension], judged: Mapping[Dimension, Judgement]) -> bool:
    """Return whether the other slices over the same attribute rose much less than a slow slice."""
    others = [judged[name] for name in names if name in judged and name != one.dimension]
    known = [(np.log(other.ratio), other.sample_count) for other in others if other.is_enough and other.ratio]
    if not known:
        return False
    rises, spans = map(np.array, zip(*known, strict=True))
    return bool(np.average(rises, weights=np.maximum(spans, 1)) <= OTHERS_ROSE * np.log(one.ratio or 1.0))


def _each(slices: Slices) -> Iterable[tuple[Dimension, str, Sequence[Dimension]]]:
    return (
        (whole, attribute, names) for whole, of in sorted(slices.items()) for attribute, names in sorted(of.items())
    )


def _slow(names: Iterable[Dimension], judged: Mapping[Dimension, Judgement]) -> list[Judgement]:
    return [judged[name] for name in names if name in judged and judged[name].outcome == "bottleneck"]
