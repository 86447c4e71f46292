"""Summary of an import."""

import pytest

from leo_telemetry_pipeline.cli import import_files
from leo_telemetry_pipeline.cli.import_files import Loaded, summary
from leo_telemetry_pipeline_tests.builders import spans_of


def described(*names: str, span_type: str = "gate") -> Loaded:
    loaded = Loaded()
    for name in names:
        loaded.describe(spans_of(span_type, name, [1]))
    return loaded


def test_the_summary_shows_the_most_frequent_names_of_each_type():
    """Lost: people learn only days later that they imported the wrong file, or under the wrong names."""
    loaded = described(*"AAABBCDE")
    loaded.describe(spans_of("handoff", "PLAN", [1, 2]))
    assert list(summary(loaded)) == ["gate 8: A 3, B 2, C 1, 2 more names", "handoff 2: PLAN 2"]


def test_many_types_are_cut(monkeypatch: pytest.MonkeyPatch):
    """Lost: the summary of a foreign file fills the screen."""
    monkeypatch.setattr(import_files, "SHOWN_TYPES", 1)
    loaded = described("A")
    loaded.describe(spans_of("tool", "B", [1]))
    loaded.describe(spans_of("phase", "C", [1]))
    assert list(summary(loaded)) == ["gate 1: A 1", "... and 2 more span types"]


def test_a_file_with_endless_names_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch):
    """Lost: the import of a file whose names hold ids."""
    monkeypatch.setattr(import_files, "MOST_NAMES", 4)
    loaded = described(*"ABCDEFGH", "A")
    assert list(summary(loaded)) == ["gate 9: A 2, B 1, C 1, at least 1 more names"]


def test_names_are_inert_in_the_summary():
    """Lost: an imported name moves the cursor of the terminal."""
    [line] = summary(described("\x1b[2Jx"))
    assert line == "gate 1:  [2Jx 1"
