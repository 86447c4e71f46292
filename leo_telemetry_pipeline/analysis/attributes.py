"""Attributes that separate slow spans from the others: model, retry_attempt, host, sd_type, ...

Belongs here: comparing the frequency of values in slow and other spans. Does not: choosing the spans (the caller),
why traces are slow (attribution).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leo_telemetry_pipeline.analysis.critical_path import HANDOFF, TraceSpan, mapping, text

# Critical value in standard errors for one comparison; it grows with the number of comparisons.
SEPARATED = 3.0
LEAST_SPANS = 5
# A smaller difference of shares is not actionable.
LEAST_DIFFERENCE = 0.1
# An attribute with more values, or nearly one per span, is an id or free text.
MOST_VALUES = 50
NEARLY_UNIQUE = 0.5


@dataclass(frozen=True)
class Separator:
    """A value more common in slow spans, with its shares (0 to 1) of the slow spans and of the others.

    ``value``: text, or a limit such as ``>= 2`` for a numeric attribute.
    """

    name: str
    value: str
    slow_share: float
    other_share: float

    def __str__(self) -> str:
        is_limit = self.value.startswith((">=", "<="))
        term = f"{self.name} {self.value}" if is_limit else f"{self.name}={self.value}"
        return f"{term}: {self.slow_share:.0%} of slow spans, {self.other_share:.0%} of the others".replace("%", " %")


def shares_in(text: str) -> tuple[str, float, float] | None:
    """Return the term of a separator in words, and its shares (0 to 1) of the slow spans and of the others."""
    found = re.fullmatch(r"(.*): (\d+) % of slow spans, (\d+) % of the others", text, re.DOTALL)
    return (found[1], int(found[2]) / 100, int(found[3]) / 100) if found else None


def slow_cut(window_ms: Sequence[float] | np.ndarray, baseline_ms: Sequence[float] | np.ndarray) -> float:
    """Return the duration in ms above which a span is slow: the geometric mean of the two medians."""
    after, before = float(np.median(window_ms)), float(np.median(baseline_ms))
    return float(np.sqrt(after * before)) if min(after, before) > 0 else (after + before) / 2


def with_trace_attributes(spans: Sequence[TraceSpan]) -> list[TraceSpan]:
    """Return the spans with the attributes of their trace's handoff as defaults, and their host."""
    handoffs = sorted((one for one in spans if one.span_type == HANDOFF), key=lambda one: one.start_time_ms)
    inherited = {one.trace_id: mapping(one.attributes) for one in reversed(handoffs)}
    return [
        one._replace(
            attributes={
                **inherited.get(one.trace_id, {}),
                **mapping(one.attributes),
                **({"host": one.host} if one.host else {}),
            },
        )
        for one in spans
    ]


def separate(
    attributes: Sequence[Mapping[str, Any] | None], is_slow: Sequence[bool] | np.ndarray, most: int = 3
) -> list[Separator]:
    """Return the best separating value of each attribute, best first, at most ``most``.

    ``attributes`` and ``is_slow`` have one entry per span. The difference of shares must be significant, corrected
    for the number of candidates. Numbers are compared with a limit; ids, free text and nested values are left out.
    """
    slow = np.asarray(is_slow, dtype=bool)
    given = [mapping(each) for each in attributes]
    if min(int(slow.sum()), int((~slow).sum())) < LEAST_SPANS:
        return []
    separators = []
    for name in sorted({name for each in given for name in each}):
        tried = _candidates(name, [each.get(name) for each in given])
        # If all spans have the attribute, its last value follows from the others and needs no comparison.
        is_complete = bool(tried) and bool(np.all(np.sum([has for _, has in tried], axis=0) == 1))
        ranked = [(_distance(has, slow, len(tried) - is_complete), value, has) for value, has in tried]
        if ranked and (best := max(ranked, key=lambda each: (each[0], each[1])))[0] > 0:
            _, value, has = best
            separators.append((best[0], Separator(name, value, float(has[slow].mean()), float(has[~slow].mean()))))
    separators.sort(key=lambda each: (-each[0], each[1].name))
    return [separator for _, separator in separators[:most]]


def _candidates(name: str, values: list[Any]) -> list[tuple[str, np.ndarray]]:
    """Return the candidate values or limits of an attribute, each with a mask of the spans that meet it."""
    texts = np.array([text(value) for value in values], dtype=object)
    there = texts != ""
    distinct = sorted(set(texts[there]))
    if not distinct or (len(distinct) == 1 and there.all()):
        return []
    given = [value for value, here in zip(values, there, strict=True) if here]
    is_number = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in given)
    if is_number and len(distinct) > 1 and not _is_id(name):
        return _limits(np.array([float(value) if here else np.nan for value, here in zip(values, there, strict=True)]))
    if len(distinct) > MOST_VALUES or len(distinct) > NEARLY_UNIQUE * there.sum():
        return []
    return [(value, texts == value) for value in distinct]


def _is_id(name: str) -> bool:
    return name.lower().replace(".", "_").replace("-", "_").split("_")[-1] in ("id", "pid", "uuid", "number", "hash")


def _limits(numbers: np.ndarray) -> list[tuple[str, np.ndarray]]:
    there = numbers[~np.isnan(numbers)]
    cuts = np.unique(np.quantile(there, np.linspace(0, 1, 21), method="nearest"))
    return [(f"{sign} {text(float(cut))}", compare(numbers, cut)) for cut in cuts for sign, compare in _SIGNS]


_SIGNS = ((">=", np.greater_equal), ("<=", np.less_equal))


def _distance(has: np.ndarray, slow: np.ndarray, tried: int) -> float:
    """Return the difference of shares minus its critical value; at most 0 if not significant."""
    more, less = float(has[slow].mean()), float(has[~slow].mean())
    of_all = float(has.mean())
    error = float(np.sqrt(of_all * (1 - of_all) * (1 / slow.sum() + 1 / (~slow).sum())))
    if has[slow].sum() < LEAST_SPANS or more - less < LEAST_DIFFERENCE:
        return 0.0
    return more - less - (SEPARATED + float(np.sqrt(2 * np.log(tried)))) * error
