"""The loop closes by itself: the repair that a directive asks for resolves its item, a useless edit does not."""

from pathlib import Path

import pytest

from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import loop_trials
from leo_telemetry_pipeline_tests.servers import EMBEDDED

pytestmark = [
    pytest.mark.usefixtures("settings"),
    pytest.mark.with_days,
    pytest.mark.only_on(EMBEDDED, reason="eight weeks of spans; the server makes no difference"),
]


@pytest.fixture(autouse=True)
def policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a small program get a directive."""
    for name, value in loop_trials.SETTINGS.items():
        monkeypatch.setenv(name, value)


def test_the_edit_that_a_directive_asks_for_resolves_its_item_by_measurement(db: Database, tmp_path: Path):
    """Lost: the loop from "it got slow" to "it is fast again, measured", on a real program."""
    life = loop_trials.live(db, tmp_path, 16, useless=False)
    assert [event.to_status for event in life.events] == ["OPEN", "IN_PROGRESS", "VERIFYING", "RESOLVED"]
    assert life.directive.status == "completed"
    [outcome] = life.directive.metadata["outcome"]["items"]
    assert (outcome["status"], outcome["effect"]) == ("RESOLVED", life.effect)
    assert life.holds_the_truth, life.effect


def test_a_useless_edit_never_resolves_an_item(db: Database, tmp_path: Path):
    """Lost: work that did not help counts as done."""
    life = loop_trials.live(db, tmp_path, 16, useless=True)
    assert [event.to_status for event in life.events] == ["OPEN", "IN_PROGRESS", "VERIFYING", "OPEN"]
    assert life.events[-1].reason.startswith("The fix did not help: P50 ")
    assert life.directive.status == "in_progress"
