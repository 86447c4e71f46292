"""Wording of changed mixes.

Belongs here: a changed mix in words, for findings, items, ``why`` and trends. Does not: deciding what a mix is.
"""

from leo_telemetry_pipeline.actions.items import ratio
from leo_telemetry_pipeline.mix import Mix

MOST_SHARES = 4


def line(mix: Mix) -> str:
    """Return the shares before and since, those that changed most first."""
    shares = [f"{share.value} {share.before:.0%} to {share.since:.0%}" for share in mix.shares[:MOST_SHARES]]
    more = f" and {len(mix.shares) - MOST_SHARES} more" if len(mix.shares) > MOST_SHARES else ""
    words = f"{', '.join(shares)}{more}; with the former shares {ratio(mix.reweighted)}"
    of = f" in {mix.parts[0]}" if mix.parts else ""
    others = f", and so did the mix of {', '.join(mix.parts[1:])}" if mix.parts[1:] else ""
    return f"the mix of {mix.attribute}{of} changed: {words}".replace("%", " %") + others
