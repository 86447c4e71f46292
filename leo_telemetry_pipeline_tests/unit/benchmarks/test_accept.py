"""``make accept``: parts are measured once, and every figure names its origin."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import accept, figures
from benchmarks.figures import Figure, Part


class Trial:
    """A trial of two parts that records its runs and can be interrupted at a part."""

    def __init__(self, *, holds: bool = True, breaks_at: str = "") -> None:
        self.ran: list[tuple[str, bool]] = []
        self.holds = holds
        self.breaks_at = breaks_at

    def parts(self, full: bool) -> list[str]:
        return ["first", "second"] if full else ["first"]

    def run(self, part: str, seed: int, full: bool) -> Iterator[Figure]:
        if part == self.breaks_at:
            raise KeyboardInterrupt
        self.ran.append((part, full))
        yield Figure("11.2", f"the {part} part", "at most 1 %", "0.5 %", self.holds)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write figures to a temporary folder."""
    monkeypatch.setattr(figures, "FIGURES", tmp_path / "acceptance.json")
    monkeypatch.setattr(figures, "PAGE", tmp_path / "acceptance.md")
    return tmp_path


def measured(trial: Any, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run ``make accept`` with one trial."""
    monkeypatch.setattr(accept, "_trials", lambda names: {"it": trial})
    return accept.main(list(arguments))


def test_an_interrupted_run_continues_where_it_stopped(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: hours of measuring start over after each interruption."""
    with pytest.raises(KeyboardInterrupt):
        measured(Trial(breaks_at="second"), monkeypatch=monkeypatch)
    again = Trial()
    assert measured(again, monkeypatch=monkeypatch) == 0
    assert again.ran == [("second", True)]
    assert [part.part for part in figures.read()] == ["first", "second"]


def test_parts_are_measured_again_only_on_request(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: last month's figures describe today's code, and nothing replaces them."""
    measured(Trial(), monkeypatch=monkeypatch)
    trial = Trial()
    measured(trial, monkeypatch=monkeypatch)
    assert trial.ran == []
    measured(trial, "--again", monkeypatch=monkeypatch)
    assert [part for part, _ in trial.ran] == ["first", "second"]
    assert len(figures.read()) == 2


def test_a_figure_that_does_not_hold_fails_the_run_and_is_marked(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: the docs show a miss as a success."""
    assert measured(Trial(holds=False), monkeypatch=monkeypatch) == 1
    assert "0.5 % **missed**" in (kept / "acceptance.md").read_text()
    # Nothing is measured in the second run, but the recorded miss still fails it.
    assert measured(Trial(), monkeypatch=monkeypatch) == 1


def test_a_small_run_does_not_change_the_figures(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a run in CI overwrites the figures of full size."""
    assert measured(Trial(), "--small", monkeypatch=monkeypatch) == 0
    assert list(kept.iterdir()) == []


def test_no_part_starts_after_the_time_limit(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: an hour of acceptance becomes four."""
    trial = Trial()
    measured(trial, "--minutes", "0", monkeypatch=monkeypatch)
    assert trial.ran == []


def test_the_page_names_line_seed_and_commit_in_the_order_of_lines() -> None:
    """Lost: figures cannot be reproduced."""
    late, early = (Figure(line, "what", "required", "measured", True) for line in ("11.10", "11.9"))
    page = figures.page([Part("it", "first", 7, "abc1234", "2026-11-29", 3, (late, early))])
    rows = [line for line in page.splitlines() if line.startswith("| 11.")]
    assert rows[0] == "| 11.9 | what | required | measured | 7 | abc1234 | 2026-11-29 |"
    assert rows[1].startswith("| 11.10 |")


def test_every_trial_names_its_parts() -> None:
    """Lost: there is a trial that `make accept` cannot run."""
    for name, trial in accept._trials([]).items():
        assert trial.parts(True), name
        assert trial.parts(False), name
