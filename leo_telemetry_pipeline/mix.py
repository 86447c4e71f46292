"""Mix of a dimension: the shares of the values of an attribute among its spans, before and after a change.

Belongs here: the value, and its JSON. Does not: deciding whether a mix explains a rise (analysis.slices), wording.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Share:
    """Share (0 to 1) of one value among the spans before and since a change, and its P50s; None without spans."""

    value: str
    before: float
    since: float
    p50_before_ms: float | None
    p50_since_ms: float | None


@dataclass(frozen=True)
class Mix:
    """Changed shares of the values of ``attribute``, the largest change first, which explain a rise.

    ``reweighted``: the ratio of the P50s if the shares had stayed. ``parts``: the span types and names of the spans
    below whose mixes changed, the largest effect first; the shares are those of the first. Empty: its own spans' mix.
    """

    attribute: str
    reweighted: float
    shares: tuple[Share, ...]
    parts: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Mix":
        """Return the mix whose JSON form this is."""
        shares = tuple(Share(**share) for share in kept["shares"])
        return cls(kept["attribute"], kept["reweighted"], shares, tuple(kept.get("parts", ())))
