"""Tuning thresholds on a real database: the command's output and changes, and automatic suggestions after a run."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from leo_telemetry_pipeline.actions import threshold_tuning
from leo_telemetry_pipeline.cli import commands
from leo_telemetry_pipeline.definitions import defs
from leo_telemetry_pipeline.defs.names import INSIGHTS_JOB, asset_key
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import spans, suggestions
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import (
    QUIET,
    configure,
    dagster_records,
    execute,
    midnight,
    one,
    span,
    succeeded,
)
from leo_telemetry_pipeline_tests.in_process import say

pytestmark = [pytest.mark.usefixtures("settings"), pytest.mark.with_days]

DAYS = 40


def days_of(name: str, *levels: float, sigma: float = 0.2, days: int = DAYS) -> Iterator[Span]:
    """Yield 15 spans of a gate per day, at each level in ms for an equal number of days."""
    rng = np.random.default_rng(len(name))
    for ago in range(days, 0, -1):
        level = levels[(days - ago) * len(levels) // days]
        for number, duration in enumerate(level * np.exp(sigma * rng.standard_normal(15))):
            yield span("gate", name, int(duration), at=midnight(ago) + timedelta(minutes=number))


def fill(db: Database, *made: Iterator[Span]) -> None:
    spans.ensure_partitions(db, midnight(130), midnight())
    for each in made:
        spans.insert(db, each)


def tune(*words: str) -> str:
    """Return the output of ``thresholds tune``."""
    return say("thresholds", "tune", *words)


def suggested(*words: str) -> dict[str, dict[str, Any]]:
    """Return the JSON output of ``thresholds tune`` per dimension."""
    return {f"{each['dimension_type']}:{each['dimension_key']}": each for each in json.loads(tune(*words, "--json"))}


def rows(db: Database) -> list[tuple]:
    return db.rows(
        "SELECT dimension_type, dimension_key, baseline_p50_ms, multiplier, min_samples FROM telemetry_thresholds"
        " ORDER BY 1, 2 NULLS FIRST"
    )


def materialize(*, success: bool = True) -> None:
    """Execute the asset as the job after an analysis does."""
    job = defs.resolve_job_def(INSIGHTS_JOB)
    done = job.execute_in_process(
        instance=dagster_records(),
        run_config=QUIET,
        raise_on_error=False,
        asset_selection=[asset_key("threshold_suggestions")],
    )
    assert done.success is success


def test_an_outdated_threshold_is_shown_with_a_fitting_one_and_written_only_when_asked(db: Database):
    """Lost: a person's numbers would change unasked, or stay wrong forever."""
    fill(db, days_of("GATE_A", 3000), days_of("GATE_B", 3000))
    configure(db, "gate", "GATE_A", 900, 2.0, min_samples=12)
    before = rows(db)
    found = suggested()["gate:GATE_A"]
    assert found["baseline_p50_ms"] == pytest.approx(3000, rel=0.05)
    assert 1.05 <= found["multiplier"] < 1.5
    assert found["share_over_now"] == 1
    said = tune().splitlines()
    assert said[0].split()[:2] == ["DIMENSION", "TODAY"]
    assert "900ms x 2.00" in said[1]
    assert "always on -> " in said[1]
    assert f"{DAYS} days, {15 * DAYS} spans since {midnight(DAYS).date()}" in said[1]
    assert said[2:] == ["Nothing was written: --apply writes the suggestions."]
    assert rows(db) == before

    applied = tune("gate", "GATE_A", "--apply").splitlines()[-1]
    assert applied == (
        f"gate:GATE_A: baseline_p50_ms {found['baseline_p50_ms']:g}, multiplier {found['multiplier']:g}."
    )
    assert rows(db) == [("gate", "GATE_A", found["baseline_p50_ms"], found["multiplier"], 12)]
    assert tune("--apply").splitlines()[-1] == "Nothing was written: all thresholds already fit."
    again = suggested()["gate:GATE_A"]
    assert again["alarms_a_year_now"] == pytest.approx(again["alarms_a_year_then"])


def test_a_row_of_a_type_is_tuned_for_each_of_its_keys_and_is_unchanged(db: Database):
    """Lost: one key's level would be applied to all others."""
    fill(db, days_of("GATE_A", 3000), days_of("GATE_BB", 500))
    configure(db, "gate", None, 800, 2.0)
    found = suggested()
    assert {name: each["source"] for name, each in found.items()} == {"gate:GATE_A": "type", "gate:GATE_BB": "type"}
    assert "800ms x 2.00 (type)" in tune("gate", "GATE_BB")
    assert "GATE_A" not in tune("gate", "GATE_BB")
    said = tune("gate", "GATE_BB", "--apply").splitlines()[-1]
    assert said.endswith("(a new row; that of the type stays as it is)")
    assert [row[:2] for row in rows(db)] == [("gate", None), ("gate", "GATE_BB")]
    assert rows(db)[0][2:4] == (800, 2.0)
    assert rows(db)[1][2] == pytest.approx(500, rel=0.05)


def test_a_multiplier_for_all_leaves_baselines_to_learning(db: Database):
    """Lost: a user who only wants fewer alarms would fix every baseline forever."""
    fill(db, days_of("GATE_A", 3000))
    configure(db, "global", None, None, 4.0)
    [unknown] = suggested().values()
    assert unknown["reason"] == "its baseline is learned, but there is none yet"
    assert tune().splitlines()[-1] == "There is no suggestion yet."
    execute(
        db, "INSERT INTO telemetry_baselines (dimension_type, dimension_key, p50_ms, multiplier)"
        " VALUES ('gate', 'GATE_A', 3000, 1.3)"
    )  # fmt: skip
    [known] = suggested().values()
    assert (known["source"], known["baseline_p50_ms"]) == ("global", None)
    assert known["multiplier"] < 4
    assert "learned x" in tune("--apply")
    assert rows(db)[0][:4] == ("gate", "GATE_A", None, known["multiplier"])


def test_the_reason_why_nothing_can_be_tuned_is_one_line(db: Database):
    """Lost: silence looks like a failure."""
    assert tune() == ("Nothing to tune: no baseline or multiplier is configured; learned baselines need no tuning.\n")
    fill(db, days_of("GATE_A", 3000, days=9))
    assert "no baseline or multiplier applies to gate:GATE_A;" in tune("gate", "GATE_A")
    configure(db, "gate", "GATE_A", 900, 2.0)
    configure(db, "gate", "GONE", 900, 2.0)
    configure(db, "gate", "OFF", 900, 2.0, is_active=False)
    configure(db, "gate", "ONLY_SAMPLES", None, None, min_samples=3)
    assert {name: each["reason"] for name, each in suggested().items()} == {
        "gate:GATE_A": "9 days with at least 8 spans, 28 are needed",
        "gate:GONE": "0 days with at least 8 spans, 28 are needed",
    }
    before = rows(db)
    assert tune("--apply").splitlines()[-1] == "There is no suggestion yet."
    assert rows(db) == before
    with pytest.raises(UserError, match="key is empty"):
        commands.cli.main(["thresholds", "tune", "gate", ""], standalone_mode=False)


def test_suggestions_follow_a_run_and_change_nothing_by_themselves(db: Database):
    """Lost: nobody would learn that a threshold does not fit, or it would change unasked."""
    fill(db, days_of("GATE_A", 3000))
    configure(db, "gate", "GATE_A", 900, 2.0)
    configure(db, "gate", "GONE", 900, 2.0)
    before = rows(db)
    materialize(success=False)
    run_id = succeeded(db)
    for _ in range(2):
        materialize()
    fits, gone = suggestions.of_run(db, run_id)
    assert (fits.current_baseline_p50_ms, fits.current_multiplier, fits.is_applied) == (900, 2.0, False)
    assert fits.baseline_p50_ms == pytest.approx(3000, rel=0.05)
    assert fits.evidence["days"] == DAYS
    assert (gone.multiplier, gone.reason) == (None, "0 days with at least 8 spans, 28 are needed")
    assert rows(db) == before


def test_with_the_setting_suggestions_are_applied_except_to_types_and_to_what_got_slower(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    """Lost: a regression would become normal by waiting, or rows for single keys would appear unasked."""
    fill(
        db, days_of("GATE_A", 3000), days_of("SLOWER", 1000, 2000, days=80), days_of("FASTER_NOW", 2000, 1000, days=80)
    )
    fill(db, days_of("INHERITS_ITS_TYPE", 700))
    for key in ("GATE_A", "SLOWER", "FASTER_NOW"):
        configure(db, "gate", key, 900, 2.0)
    configure(db, "gate", None, 900, 2.0)
    run_id = succeeded(db)
    monkeypatch.setenv("LEO_TELEMETRY_APPLY_SUGGESTIONS", "true")
    materialize()
    kept = {each.dimension_key: each for each in suggestions.of_run(db, run_id)}
    assert {key for key, each in kept.items() if each.is_applied} == {"GATE_A", "FASTER_NOW"}
    assert kept["SLOWER"].is_slower
    assert kept["SLOWER"].baseline_p50_ms == pytest.approx(2000, rel=0.05)
    written = {row[1]: row[2] for row in rows(db)}
    assert written[None] == written["SLOWER"] == 900
    assert set(written) == {None, "GATE_A", "SLOWER", "FASTER_NOW"}
    assert written["FASTER_NOW"] == kept["FASTER_NOW"].baseline_p50_ms == pytest.approx(1000, rel=0.05)
    assert one(db, "SELECT count(*) FROM telemetry_suggestions WHERE applied_at IS NOT NULL") == 2


def test_of_very_many_dimensions_those_with_a_row_and_those_with_most_time_are_tuned(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    """Lost: one row for all keys would make every run take an hour, or rows with a key would be left out."""
    monkeypatch.setattr(threshold_tuning, "MOST", 1)
    fill(db, days_of("MOST_TIME", 9000, days=3), days_of("SECOND", 5000, days=3), days_of("LEAST", 10, days=3))
    configure(db, "global", None, 800, 2.0)
    configure(db, "gate", "LEAST", 800, 2.0)
    assert list(suggested()) == ["gate:LEAST", "gate:MOST_TIME"]
