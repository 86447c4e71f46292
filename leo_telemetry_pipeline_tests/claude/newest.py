"""`make newest`: play every scenario with the newest Claude Code, and print what differs from the tested version.

Belongs here: the comparison by hand. Does not: tests, which know one version only.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from leo_telemetry_pipeline_tests.claude import playing, program, scenarios, stored, truth
from leo_telemetry_pipeline_tests.claude.playing import Played

LIMIT_S = 0.5


def main() -> int:
    """Return 1 if what was measured of the newest version differs from what happened."""
    version, newest = program.newest()
    print(f"The newest Claude Code is {version}, the tested one {program.pinned()}.")
    lines = []
    played = {}
    for ways in truth.SIDE_BY_SIDE:
        print(f"Playing {len(scenarios.ALL)} scenarios by {' and '.join(ways)} ...", flush=True)
        played |= _played(ways, newest)
    for way in truth.WAYS:
        lines += [f"by {way}: {line}" for line in _differences(played[way])]
    if version != program.pinned():
        print("Asking the tested version for the names that it exports ...", flush=True)
        lines += _words(_played(("otel",), program.tested())["otel"], played["otel"])
    print("\n".join(lines) or "Nothing differs.")
    return int(bool(lines))


def _played(ways: Sequence[str], claude: Path) -> dict[str, dict[str, Played | BaseException]]:
    """Return for each way what was played in each scenario, or the exception that ended it."""
    outcomes = playing.play_all(scenarios.ALL, ways, claude)
    return {
        way: {name: one if isinstance(one, BaseException) else one[way] for name, one in outcomes.items()}
        for way in ways
    }


def _differences(played: Mapping[str, Played | BaseException]) -> Iterator[str]:
    for name, outcome in played.items():
        if isinstance(outcome, BaseException):
            yield f"{name} could not be played: {str(outcome)[:500]}"
            continue
        wanted, found = stored.shapes_of_facts(outcome.visible()), stored.shapes_of_rows(outcome.rows)
        yield from (f"{name} lacks {_shape(shape)}" for shape in wanted - found)
        yield from (f"{name} has too much: {_shape(shape)}" for shape in found - wanted)
        for off in stored.outside_bounds(outcome.matched()):
            if off.seconds > LIMIT_S:
                yield f"{name}: {off.of} is {off.seconds:.2f} s off"
        if outcome.refusals or outcome.complaints:
            yield f"{name}: {outcome.refusals[:3]} {outcome.complaints[:500]}"


def _shape(shape: tuple) -> str:
    _, kind, name, status, parent = shape
    return f"{kind}:{name} {status} under {':'.join(parent) if parent else 'nothing'}"


def _words(before: Mapping[str, Played | BaseException], after: Mapping[str, Played | BaseException]) -> Iterator[str]:
    """Return the names of spans, events and attributes that were added or removed."""
    old, new = (
        {word for one in played.values() if isinstance(one, Played) for word in one.words} for played in (before, after)
    )
    yield from (f"exports anew: {word}" for word in sorted(new - old))
    yield from (f"no longer exports: {word}" for word in sorted(old - new))


if __name__ == "__main__":
    sys.exit(main())
