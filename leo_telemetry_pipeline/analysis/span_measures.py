"""Measures that explain the duration of a span: time to first token, tokens.

Belongs here: the known measures and their attribute names. Does not: reading them (store.dimension_attributes),
comparing them (measure_changes). Imports nothing heavy, so that commands start fast.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FIRST_TOKEN, INPUT, CACHED, OUTPUT = "ttft_ms", "input_tokens", "cache_read_tokens", "output_tokens"
_S = 1000.0


@dataclass(frozen=True)
class Measure:
    """Numeric measure of a span: the first of ``attributes`` that is present, times its unit factor."""

    name: str
    header: str
    attributes: tuple[tuple[str, float], ...]
    is_time: bool = False


MEASURES = (
    Measure(
        FIRST_TOKEN,
        "FIRST TOKEN",
        (
            ("ttft_ms", 1.0),
            ("gen_ai.response.time_to_first_chunk", _S),
            ("gen_ai.response.time_to_first_token", _S),
        ),
        is_time=True,
    ),
    Measure(
        INPUT,
        "TOKENS IN",
        (("input_tokens", 1.0), ("gen_ai.usage.input_tokens", 1.0), ("gen_ai.usage.prompt_tokens", 1.0)),
    ),
    Measure(CACHED, "CACHED", (("cache_read_tokens", 1.0), ("gen_ai.usage.cache_read.input_tokens", 1.0))),
    Measure(
        OUTPUT,
        "TOKENS OUT",
        (("output_tokens", 1.0), ("gen_ai.usage.output_tokens", 1.0), ("gen_ai.usage.completion_tokens", 1.0)),
    ),
    Measure("total_tokens", "TOKENS", (("total_tokens", 1.0), ("gen_ai.usage.total_tokens", 1.0))),
)


def value_of(attributes: Mapping[str, Any], name: str) -> float | None:
    """Return a measure from a span's attributes, or None."""
    [measure] = [measure for measure in MEASURES if measure.name == name]
    for attribute, factor in measure.attributes:
        value = attributes.get(attribute)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value * factor
    return None
