"""Which overdue operations people are told about."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from leo_telemetry_pipeline.actions.operations import RunningOperation
from leo_telemetry_pipeline.actions.slow_spans import Told, decide, overdue

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)


def gate(name: str = "A", worked_s: float = 300, time_out_s: float | None = 100, **more) -> RunningOperation:
    ids = {"trace_id": "t", "span_id": name, "host": "h", "pid": 1}
    times = {"started_at": NOW - timedelta(seconds=worked_s), "open_s": worked_s, "time_out_s": time_out_s}
    return RunningOperation(span_type="gate", span_name=name, **{"silent_s": 1.0, **ids, **times, **more})


def names(*operations: RunningOperation) -> list[str]:
    return [one.span_name for one in overdue(operations).values()]


def test_only_what_works_longer_than_its_time_out_is_overdue():
    """Lost: people are told about each gate that runs, or about none that hangs."""
    assert names(gate("late"), gate("early", 99), gate("new", time_out_s=None), gate("waits", waited_s=250)) == ["late"]


def test_an_operation_whose_process_is_silent_is_not_told_about():
    """Lost: each killed process makes an alert for each of its operations."""
    assert names(gate(silent_s=31)) == []
    session = gate(span_id=None, trace_id=None, session="s")
    assert names(replace(session, silent_s=1800)) == ["A"]
    assert names(replace(session, silent_s=3700)) == []


def test_only_the_part_that_hangs_is_told_about():
    """Lost: one gate that hangs makes an alert for its phase, its handoff and itself."""
    inner, outer = gate("inner", parent_span_id="middle"), gate("outer", 900)
    middle = gate("middle", 50, parent_span_id="outer")
    assert names(outer, middle, inner, gate("other", 101)) == ["inner", "other"]
    # Ids that form a circle, as a faulty program may send them.
    assert names(gate("a", parent_span_id="b"), gate("b", parent_span_id="a")) == []


def test_each_operation_is_told_about_once():
    """Lost: the same gate is announced every half minute until it ends."""
    found = overdue([gate("A"), gate("B")])
    first = decide(found, Told(), 30, NOW)
    assert [one.key for one in first] == ["slow_span:t:A", "slow_span:t:B"]
    assert decide(found, Told({one.key for one in first}, 2, 2), 30, NOW) == []


def test_the_key_of_a_session_tells_its_operations_apart_and_reveals_no_name():
    """Lost: the second sub-agent that hangs is never told about, or a session's id breaks a header."""
    agents = [
        gate("<!channel>", span_id=None, trace_id=None, session="s\r\n"),
        gate("<!channel>", 301, span_id=None, trace_id=None, session="s\r\n"),
        gate("<!channel>", span_id=None, trace_id=None, session="t"),
    ]
    keys = list(overdue(agents))
    assert len(keys) == 3
    assert all(key.removeprefix("slow_span:").isalnum() for key in keys)
    assert list(overdue(agents)) == keys


def test_the_longest_late_come_first_and_those_over_the_caps_become_one_digest():
    """Lost: a database that hangs makes 500 alerts, and the day has none left for items."""
    found = overdue([gate(f"G{number}", 200 + number) for number in range(500)])
    alerts = decide(found, Told(), 30, NOW)
    assert [one.kind for one in alerts] == ["slow_span"] * 10 + ["digest"]
    assert alerts[0].title == "Overdue: gate:G499 has not ended after 11 min"
    assert alerts[-1].title == "490 more operations are overdue"
    assert alerts[-1].body["more"] == 470
    told = Told({one.key for one in alerts}, 10, 10)
    # The digest has the same key, so it is written once per day.
    assert [one.key for one in decide(found, told, 30, NOW)] == [alerts[-1].key]
    assert [one.kind for one in decide(found, Told((), 29, 2), 30, NOW)] == ["slow_span", "digest"]


def test_every_alert_counts_for_the_day_on_which_it_is_written():
    """Lost: the cap of a day, since alerts without a window belong to none."""
    [alert] = decide(overdue([gate()]), Told(), 30, NOW)
    assert (alert.window_end, alert.severity, alert.item_id) == (NOW, "warning", None)
