"""Parts of a dimension: its spans by the value of an attribute, such as ``gate+sd_type:G:feature`` of ``gate:G``.

Belongs here: which dimensions are parts of which, and which slow parts tell no more than their dimension. Does not:
which attributes are counted (store.history.name_parts), whether a part is slow (judgement), a changed mix (mixes).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from leo_telemetry_pipeline.dimension import Dimension, Judgement

# The parts of each dimension, by attribute.
Parts = Mapping[Dimension, Mapping[str, Sequence[Dimension]]]

HANDOFF = "handoff"
# A part is slow by itself if the others rose at most by this fraction of its rise (of logarithms).
OTHERS_ROSE = 0.5


def parts_of(dimensions: Iterable[Dimension]) -> dict[Dimension, dict[str, list[Dimension]]]:
    """Return the parts of each dimension that has some.

    The parts of ``gate:G`` are ``gate+sd_type:G:...``; those of ``sd_type:feature`` are the handoffs of this type.
    """
    there = sorted(dimensions)
    known = set(there)
    found: dict[Dimension, dict[str, list[Dimension]]] = {}
    for part in there:
        span_type, plus, attribute = part[0].partition("+")
        names = _names(part[1]) if plus else []
        wholes = [((span_type, name), attribute) for name, _ in names]
        kinds = [((attribute, value), span_type) for _, value in names] if span_type == HANDOFF else []
        for candidates in (wholes, kinds):
            if whole := next((each for each in candidates if each[0] in known), None):
                found.setdefault(whole[0], {}).setdefault(whole[1], []).append(part)
    return found


def _names(key: str) -> list[tuple[str, str]]:
    """Return the pairs of name and value that a key may consist of, the longest name first."""
    places = [place for place, character in enumerate(key) if character == ":"]
    return [(key[:place], key[place + 1 :]) for place in reversed(places)]


def value_of(whole: Dimension, part: Dimension) -> str:
    """Return the value by which a part differs from its dimension."""
    is_by_name = part[0].partition("+")[0] == whole[0]
    return part[1][len(whole[1]) + 1 :] if is_by_name else part[1][: -len(whole[1]) - 1]


def slow_alone(judged: Iterable[Judgement], parts: Parts) -> dict[Dimension, tuple[str, str]]:
    """Return attribute and value of the slow parts that the other parts do not resemble, by dimension of the whole.

    If several are, that with the highest ratio.
    """
    by_name = {one.dimension: one for one in judged}
    alone: dict[Dimension, tuple[float, tuple[str, str]]] = {}
    for whole, attribute, names in _each(parts):
        for one in _slow(names, by_name):
            if is_alone(one, names, by_name) and (one.ratio or 0.0) > alone.get(whole, (0.0,))[0]:
                alone[whole] = one.ratio or 0.0, (attribute, value_of(whole, one.dimension))
    return {whole: named for whole, (_, named) in alone.items()}


def like_wholes(judged: Sequence[Judgement], parts: Parts, counted: Collection[str]) -> list[Judgement]:
    """Return the judgements, with those slow parts marked that only tell what is known of a slow dimension.

    ``counted``: the types that were chosen as parts; other types are marked only where the mix changed.
    """
    by_name = {one.dimension: one for one in judged}
    for whole, _, names in _each(parts):
        outcome = by_name[whole].outcome if whole in by_name else None
        for one in _slow(names, by_name) if outcome in ("bottleneck", "mix") else ():
            if (outcome == "mix" or one.dimension_type in counted) and not is_alone(one, names, by_name):
                by_name[one.dimension] = replace(one, is_like_whole=True)
    return [by_name[one.dimension] for one in judged]


def is_alone(one: Judgement, names: Iterable[Dimension], judged: Mapping[Dimension, Judgement]) -> bool:
    """Return whether the other parts over the same attribute rose much less than a slow part."""
    others = [judged[name] for name in names if name in judged and name != one.dimension]
    known = [(np.log(other.ratio), other.sample_count) for other in others if other.is_enough and other.ratio]
    if not known:
        return False
    rises, spans = map(np.array, zip(*known, strict=True))
    return bool(np.average(rises, weights=np.maximum(spans, 1)) <= OTHERS_ROSE * np.log(one.ratio or 1.0))


def _each(parts: Parts) -> Iterable[tuple[Dimension, str, Sequence[Dimension]]]:
    return ((whole, attribute, names) for whole, of in sorted(parts.items()) for attribute, names in sorted(of.items()))


def _slow(names: Iterable[Dimension], judged: Mapping[Dimension, Judgement]) -> list[Judgement]:
    return [judged[name] for name in names if name in judged and judged[name].outcome == "bottleneck"]
