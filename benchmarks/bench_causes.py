"""Accuracy of attribution and causes: planted slow steps, real faults, incidents, delayed services, sampled days.

Belongs here: the measurements. Does not: simulated traces (families, service_graphs) and incidents (incidents).

Planted: the first part is right in 95 % of the families, and all shares are within 5 points in 95 %. Real: 4 of 5
network delays are named first (as calls to the delayed service), and so is the processor fault. Incidents: items per
cause and causes per item at most 5 % from 1. Service graphs: the delayed service is named first in 90 %. Samples of an
incident, even of one that is over: their added time is within 15 % of that of all spans in 95 %, and the slow model is
named in 99 %. One attribution: at most 100 ms. Seeds are random.
"""

import json
import math
import secrets
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from benchmarks import families, incidents, sampled_days, service_graphs
from benchmarks.families import Draw, Family, Slowdown
from benchmarks.measure import ROOT, Budget, Options, alternating, judge, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.analysis.attribution import Attribution, attribute, line
from leo_telemetry_pipeline.analysis.causes import Cause, causes_of
from leo_telemetry_pipeline.analysis.critical_path import Forest, forest
from leo_telemetry_pipeline.analysis.places import OWN, QUEUE, SPAN
from leo_telemetry_pipeline.sources.files.reader import read
from leo_telemetry_pipeline.span import COLUMNS, Span

RIGHT, POINTS = 95.0, 0.05
SERVICES, NAMED = 90.0, 99.0
# A planted step slows the whole trace by at least this fraction.
LEAST_GAIN = 0.25
# Shares have a true value only if what a slowdown adds depends on the others by at most this much.
AGREED = 0.02
REAL = ROOT / "examples" / "data" / "nezha-2022-08-23"
OUTERMOST = ("operation", "hipstershop.Frontend/Recv.")
NETWORK, PROCESSOR = ("13_37", "14_12", "14_31", "15_13", "16_06"), ("13_28",)


def least(percent: float, count: int) -> float:
    """Return the lower 2.5 % quantile of a sample share of ``count`` whose true value is ``percent``."""
    return percent - 200 * math.sqrt(percent / 100 * (1 - percent / 100) / count)


def plant(rng: np.random.Generator, made: Family, drawn: Draw) -> list[Slowdown] | None:
    """Choose a slow span type, and perhaps a longer queue and more own work; None if too small to notice."""
    whole = families.lay(made, drawn).end[families.ROOT]
    median = float(np.median(whole))
    keys = sorted({node.key for node in made.nodes[1:]})
    slow = [Slowdown(str(rng.choice(keys)), median * float(rng.uniform(0.3, 1.0)))]
    gain = float(np.median(families.lay(made, drawn, slow).end[families.ROOT])) / median - 1
    if gain < LEAST_GAIN:
        return None
    waiting = sorted({node.key for node in made.nodes[1:] if node.queue_ms and node.key != slow[0].key})
    if waiting and rng.random() < 0.5:
        slow.append(Slowdown(str(rng.choice(waiting)), gain * median * float(rng.uniform(0.05, 0.4)), "queue"))
    if rng.random() < 0.5:
        slow.append(Slowdown(made.nodes[0].key, gain * median * float(rng.uniform(0.05, 0.3))))
    return slow if families.disagreement(made, drawn, slow) <= AGREED else None


def planted(rng: np.random.Generator) -> tuple[Family, Draw, list[Slowdown]]:
    """Return a family, the traces of its window, and planted slowdowns."""
    while True:
        made = families.family(rng)
        drawn = families.draw(rng, made, int(rng.integers(60, 200)))
        if slow := plant(rng, made, drawn):
            return made, drawn, slow


def shares_of(attribution: Attribution, slow: list[Slowdown]) -> list[float]:
    """Return the attributed share of each slowdown."""
    outermost = f"{attribution.dimension_type}:{attribution.dimension_key}"
    kinds = [QUEUE if each.what == QUEUE else OWN if each.key == outermost else SPAN for each in slow]
    return [
        sum(part.share for part in attribution.parts if (part.kind, part.key) == (kind, each.key))
        for kind, each in zip(kinds, slow, strict=True)
    ]


def of_families(options: Options) -> Iterator[Measured]:
    """Measure how often the planted step is first and all shares are right."""
    count, seed = (12 if options.quick else 500), secrets.randbits(32)
    first = close = 0
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        made, drawn, slow = planted(rng)
        before = families.draw(rng, made, int(rng.integers(60, 200)))
        window = families.forest_of(families.frame(rng, made, drawn, families.lay(made, drawn, slow)))
        baseline = families.forest_of(families.frame(rng, made, before, families.lay(made, before)))
        found = attribute(window, baseline, *made.dimension)
        truth = families.truth(made, drawn, slow)
        if found and found.parts:
            first += found.parts[0].key == slow[0].key
            errors = np.abs(np.array(shares_of(found, slow)) - truth)
            close += bool((errors <= POINTS).all())
    limit = Budget(least(RIGHT, count) if options.quick else RIGHT, "%", at_least=True, timed=False)
    of = f"{count} families of 20 span types; seed {seed}"
    yield judge(f"slow step named first: {of}", 100 * first / count, "%", limit, options)
    yield judge(f"all shares within 5 points: {of}", 100 * close / count, "%", limit, options)


def real_traces(minute: str) -> pd.DataFrame:
    """Read one minute of the shop's spans."""
    found = read(REAL / f"{minute}.csv.gz", preset="nezha")
    rows = [[getattr(span, name) for name in COLUMNS] for span in found if isinstance(span, Span)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def faulty_service(minute: str) -> str:
    """Return the service of the last fault injected at most two minutes before the end of the minute."""
    ends = datetime.strptime(f"2022-08-23 {minute} +0000", "%Y-%m-%d %H_%M %z") + timedelta(minutes=1)
    listed = json.loads((REAL / "fault_list.json").read_text())
    faults = [fault for hour in listed.values() for fault in hour]
    moments = {datetime.fromtimestamp(int(fault["inject_timestamp"]), UTC): fault["inject_pod"] for fault in faults}
    at = max(moment for moment in moments if moment < ends)
    return moments[at].partition("-")[0] if ends - at <= timedelta(minutes=2) else ""


def of_real_faults(options: Options) -> Iterator[Measured]:
    """Measure for how many real faults the first part is a call of the faulty service."""
    baseline = families.forest_of(real_traces("17_00_fault_free"))
    # Reading a minute takes over a second: a quick run reads one of the four that are named.
    some = (("network delays", ("14_31",), 1),)
    for what, minutes, enough in (
        some if options.quick else (("network delays", NETWORK, 4), ("processor faults", PROCESSOR, 1))
    ):
        named = 0
        for minute in minutes:
            found = attribute(families.forest_of(real_traces(minute)), baseline, *OUTERMOST)
            assert found
            print(f"{minute} ({faulty_service(minute)}): {line(found)}", file=sys.stderr)
            named += bool(found.parts) and faulty_service(minute) in found.parts[0].key.lower()
        limit = Budget(enough, "faults", at_least=True, timed=False)
        yield judge(f"real {what} named first: of {len(minutes)}", named, "faults", limit, options)


def of_incidents(options: Options) -> Iterator[Measured]:
    """Measure items per cause and causes per item."""
    count, seed = (8 if options.quick else 200), secrets.randbits(32)
    kinds = (incidents.one_cause, incidents.two_causes, incidents.one_value, incidents.two_causes)
    causes, items, held, whole, large = 0, 0, 0, 0, 0
    for number in range(count):
        kind = kinds[number % len(kinds)]
        made = kind(np.random.default_rng([seed, number]))
        found, _ = causes_of(made.slow, families.forest_of(made.window), families.forest_of(made.baseline))
        causes, items = causes + len(made.causes), items + len(found)
        held += sum(_holds(each, name) for each in found for name in made.causes)
        if kind is incidents.one_cause:
            large += 1
            whole += len(found) == 1 and len(found[0].members) == len(made.slow)
    of = f"{count} incidents, {causes} causes; seed {seed}"
    limit = Budget(20 if options.quick else 5, "%", timed=False)
    yield judge(
        f"items per cause, deviation from 1: {items / causes:.3f}, {of}",
        abs(items / causes - 1) * 100,
        "%",
        limit,
        options,
    )
    yield judge(
        f"causes per item, deviation from 1: {held / items:.3f}, {of}", abs(held / items - 1) * 100, "%", limit, options
    )
    limit = Budget(least(RIGHT, large) if options.quick else RIGHT, "%", at_least=True, timed=False)
    what = f"one cause of 30 dimensions or more is one item with all: {large} incidents; seed {seed}"
    yield judge(what, 100 * whole / large, "%", limit, options)


def _holds(cause: Cause, name: tuple[str, str]) -> bool:
    return name in {member.slow.dimension for member in cause.members}


def of_service_graphs(options: Options) -> Iterator[Measured]:
    """Measure how often the first part names the delayed service."""
    count, seed, first = (10 if options.quick else 200), secrets.randbits(32), 0
    for number in range(count):
        made, delay, before, after = service_graphs.delayed(np.random.default_rng([seed, number]))
        found = attribute(after, before, *made.dimension)
        first += found is not None and bool(found.parts) and delay.service in found.parts[0].key
    what = f"delayed service named first: {count} service graphs up to {service_graphs.DEEPEST} calls deep; seed {seed}"
    limit = Budget(least(SERVICES, count) if options.quick else SERVICES, "%", at_least=True, timed=False)
    yield judge(what, 100 * first / count, "%", limit, options)


def of_sampled_days(options: Options) -> Iterator[Measured]:
    """Measure how close the added time of samples is to that of all spans, and how often a slow model is named."""
    count, seed = (20 if options.quick else 2_000), secrets.randbits(32)
    rng = np.random.default_rng(seed)
    close = sum(sampled_days.is_close(sampled_days.drawn(rng)) for _ in range(count))
    named = sum(sampled_days.names_model(rng) for _ in range(count))
    of = f"{count} incidents of 3 to 7 days; seed {seed}"
    for what, share, enough in (
        ("added time of samples within 15 % of that of all spans", close, RIGHT),
        ("model that is slow on half of the spans named", named, NAMED),
    ):
        limit = Budget(least(enough, count) if options.quick else enough, "%", at_least=True, timed=False)
        yield judge(f"{what}: {of}", 100 * share / count, "%", limit, options)


def of_time(options: Options) -> Iterator[Measured]:
    """Measure one attribution of 200 traces on each side, with and without building trees."""
    rng = np.random.default_rng(secrets.randbits(32))
    made = families.family(rng, 15, 0)
    slow = [Slowdown(made.nodes[5].key, 60_000.0)]
    draws = [families.draw(rng, made, 200) for _ in range(2)]
    spans = [
        families.spans_of(families.frame(rng, made, drawn, families.lay(made, drawn, planted_)))
        for drawn, planted_ in zip(draws, (slow, []), strict=True)
    ]
    grown: list[Forest] = [forest(side) for side in spans]
    calls = {
        "with trees": lambda: attribute(forest(spans[0]), forest(spans[1]), *made.dimension),
        "alone": lambda: attribute(grown[0], grown[1], *made.dimension),
    }
    took = alternating(calls, 5 if options.quick else 15)
    what = f"one attribution: {sum(map(len, spans)):,} spans in 400 traces; without making trees {took['alone']:.3f} s"
    yield judge(what, took["with trees"] * 1000, "ms", Budget(100, "ms"), options)


def measurements(options: Options) -> Iterator[Measured]:
    """Measure all."""
    yield from of_families(options)
    yield from of_real_faults(options)
    yield from of_incidents(options)
    yield from of_service_graphs(options)
    yield from of_sampled_days(options)
    yield from of_time(options)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
