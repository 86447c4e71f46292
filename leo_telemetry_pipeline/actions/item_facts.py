"""Facts of an improvement item in words: what it is about in one sentence, and its numbers with labels.

Belongs here: the facts as pure functions of a row, which SQL may have written. Does not: pages (cli, web).
"""

from collections.abc import Callable, Iterator, Sequence

from leo_telemetry_pipeline.actions.item_detail import Known
from leo_telemetry_pipeline.actions.items import RAREST, lasted, milliseconds, ratio_of
from leo_telemetry_pipeline.store.items import Event, Item


def name_of(known: Known) -> str | None:
    """Return the name of the dimension of an item or a member."""
    of_type, key = known.get("dimension_type"), known.get("dimension_key")
    return f"{of_type}:{key}" if of_type and key else None


def sentence(known: Known, shown: Callable[[str], str] = str) -> str:
    """Say what is slow, by how much and what it costs; empty if unknown. ``shown`` escapes names."""
    name = name_of(known)
    if not name or "ratio" not in known:
        return ""
    took = ""
    if "observed_p50_ms" in known and "baseline_p50_ms" in known:
        took = f": {milliseconds(known['observed_p50_ms'])} instead of {milliseconds(known['baseline_p50_ms'])}"
    who = "A part of the calls of " if "slow_calls" in known else ""
    project = f" in project {shown(known['project'])}" if known.get("project") else ""
    lost = f", which costs {_lost(known)} per week" if "lost_ms_a_week" in known else ""
    return f"{who}{shown(name)}{project} takes {ratio_of(known)} as long as normal{took}{lost}."


def facts(
    item: Item, known: Known, events: Sequence[Event], shown: Callable[[str], str] = str
) -> Iterator[tuple[str, str]]:
    """Yield the numbers of an item with their labels, as far as they are known."""
    if "baseline_p50_ms" in known:
        yield "before", f"{milliseconds(known['baseline_p50_ms'])} (median)"
    if "observed_p50_ms" in known:
        yield "now", f"{milliseconds(known['observed_p50_ms'])} (median)"
    if "onset_day" in known:
        yield "since", shown(known["onset_day"])
    if "p_value" in known and 0 <= known["p_value"] < 1:
        yield "how sure", f"by chance in at most 1 of {1 / max(known['p_value'], RAREST):,.0f} analyses"
    if "lost_ms_a_week" in known:
        yield "time lost per week", _lost(known)
    if "sample_count" in known:
        yield "measured", f"{known['sample_count']:,.0f} spans"
    effect = next((event.effect for event in reversed(events) if event.effect), None)
    if effect and item.status == "RESOLVED":
        yield "after the fix", milliseconds(effect["after_ms"])
        yield "time given back per week", lasted(effect["given_back_ms_per_week"] / 1000)


def _lost(known: Known) -> str:
    return lasted(known["lost_ms_a_week"] / 1000)
