"""``trends`` and ``compare`` on a real database: their output as text and data, and every usage error."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import pytest

from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.days import midnight as midnight_of
from leo_telemetry_pipeline.store.history import histograms, span_counts
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import execute, insert, midnight, new_id, one, span
from leo_telemetry_pipeline_tests.in_process import refused, say
from leo_telemetry_pipeline_tests.servers import EMBEDDED

pytestmark = pytest.mark.usefixtures("settings")

STEP = midnight(10)
MONTH = Window(midnight(30), midnight())


def fill(db: Database, *, step: float = 2.0) -> None:
    """Store a month of a gate that got slower and rarer ten days ago, and of a phase that did not."""
    rng, made = np.random.default_rng(21), []
    for day in MONTH.days:
        at = midnight_of(day)
        slow, number = (step, 6) if at >= STEP else (1.0, 12)
        handoffs = zip(rng.lognormal(8, 0.15, number), rng.lognormal(9, 0.2, number), strict=True)
        for place, (gate, phase) in enumerate(handoffs):
            then = at + timedelta(hours=1, minutes=10 * place)
            made.append(span("gate", "GATE_A", int(gate * slow), at=then, queue_wait_ms=int(gate * slow / 3)))
            made.append(span("phase", "LEAD", int(phase), at=then, project="shop"))
    insert(db, made)


def test_trends_include_spans_that_no_analysis_has_counted_and_do_not_change_once_counted(db: Database):
    """Lost: after importing a month, a user would see nothing, or other numbers tomorrow."""
    fill(db)
    printed = say("trends"), say("trends", "gate:GATE_A"), say("trends", "gate:GATE_A", "--json")
    seen = sorted({one.span_type for one in span_counts.by_type_and_day(db, MONTH)})
    histograms.rebuild(db, MONTH.days, ["gate", "phase", "handoff", "subagent", "sd_type", "gate+sd_type"], seen)
    assert (say("trends"), say("trends", "gate:GATE_A"), say("trends", "gate:GATE_A", "--json")) == printed


def test_trends_name_what_changed_and_since_when_those_with_most_time_first(db: Database):
    """Lost: the page that people open first would not say what got slower."""
    fill(db)
    lines = say("trends").splitlines()
    assert lines[0] == f"P50 by day since {MONTH.days[0]}, dimensions with the most time first"
    [lead, gate] = [line for line in lines if line.startswith(("phase:LEAD", "gate:GATE_A"))]
    assert lines.index(lead) < lines.index(gate)
    assert lead.endswith("steady; spans -50 % since " + str(STEP.date()))
    assert f" % since {STEP.date()}; spans -50 % since {STEP.date()}" in gate
    assert "▁" in gate
    assert "█" in gate
    assert "... and 1 more with less time (--limit)" in say("trends", "--limit", "1")
    assert "phase:LEAD" not in say("trends", "gate")
    assert "gate:GATE_A" not in say("trends", "--project", "shop")
    found = json.loads(say("trends", "--json", "--days", "31"))
    assert [one["dimension_key"] for one in found["dimensions"]] == ["LEAD", "GATE_A"]
    assert len(found["dimensions"][1]["p50_ms"]) == 32
    assert found["dimensions"][1]["p50_ms"][0] is None
    assert found["dimensions"][1]["changes"]["time"][0]["onset"] == str(STEP.date())
    assert found["more"] == 0


def test_trends_of_one_dimension_list_every_day_with_its_queue_share_and_both_changes(db: Database):
    """Lost: nobody would see by how much and since when a gate got slower, or that it runs less often."""
    fill(db)
    insert(db, [span("gate", "GATE_A", 123, at=midnight())])
    said = say("trends", "gate:GATE_A")
    rows = {line.split()[0]: line.split() for line in said.splitlines() if line.startswith("20")}
    assert len(rows) == 31
    before, after = rows[str(MONTH.days[5])], rows[str(MONTH.days[25])]
    assert (before[1], after[1]) == ("12", "6")
    assert before[-2:] == ["25", "%"]
    assert rows[str(midnight().date())][1:5] == ["so", "far", "1", "123ms"]
    assert rows[str(midnight().date())][-1] == "-"
    [time] = [line for line in said.splitlines() if line.startswith("Time changed")]
    assert f"since {STEP.date()}" in time
    [volume] = [line for line in said.splitlines() if line.startswith("Volume changed")]
    assert "from 12 to 6 spans per day" in volume
    found = json.loads(say("trends", "gate:GATE_A", "--json", "--days", "40"))
    assert len(found["days"]) == 41
    assert found["days"][0]["p50_ms"] is None
    assert found["days"][-1] | {"sum_ms": 0} == {
        "day": str(midnight().date()), "closed": False, "spans": 1, "sum_ms": 0, "p50_ms": 123.0, "p90_ms": 123.0,
        "p95_ms": 123.0, "p99_ms": 123.0, "queue_share": None, "measures": {}, "waiting": None,
    }  # fmt: skip
    assert found["days"][-2]["queue_share"] == pytest.approx(0.25, rel=0.01)


def requests(db: Database) -> None:
    """Store ten days of requests to a model; in the last two, first tokens came later and answers were longer."""
    made = []
    for ago in range(10, 0, -1):
        first, tokens = (3_000, 250) if ago <= 2 else (1_000, 100)
        for number in range(5):
            at = midnight(ago) + timedelta(hours=number)
            named = {"ttft_ms": first + number, "output_tokens": tokens, "input_tokens": 12_500, "model": "opus"}
            if ago == 5:
                named = {
                    "gen_ai.response.time_to_first_chunk": (first + number) / 1000,
                    "gen_ai.usage.output_tokens": "9",
                }
            if ago == 6:
                named = {"ttft_ms": "soon", "output_tokens": None, "input_tokens": {"a": 1}}
            made.append(span("llm", "opus", first + 2_000, at=at, attributes=named))
    insert(db, made)


def test_trends_of_a_model_show_time_to_first_token_and_tokens_with_the_duration(db: Database):
    """Lost: nobody would see whether a slow model begins late, writes slowly or writes more."""
    requests(db)
    said = say("trends", "llm:opus").splitlines()
    header = next(line for line in said if line.startswith("DAY"))
    assert header.split("QUEUE")[1].split() == ["FIRST", "TOKEN", "AFTER", "IT", "TOKENS", "IN", "TOKENS", "OUT"]
    rows = {line.split()[0]: line.split()[6:] for line in said if line.startswith("20")}
    assert rows[str(midnight(9).date())] == ["-", "1s", "2s", "12.5k", "100"]
    assert rows[str(midnight(1).date())] == ["-", "3s", "2s", "12.5k", "250"]
    assert rows[str(midnight(5).date())] == ["-", "1s", "2s", "-", "9"]
    assert rows[str(midnight(6).date())] == ["-", "-", "-", "-", "-"]
    assert any(line.startswith("FIRST TOKEN and AFTER IT are medians") for line in said)
    days = {day["day"]: day for day in json.loads(say("trends", "llm:opus", "--days", "12", "--json"))["days"]}
    assert days[str(midnight(1).date())]["measures"] == {
        "ttft_ms": 3_002.0, "after_first_token_ms": 1_998.0, "input_tokens": 12_500.0, "output_tokens": 250.0,
    }  # fmt: skip
    assert days[str(midnight(11).date())]["measures"] == days[str(midnight(6).date())]["measures"] == {}


def test_trends_have_no_columns_for_measures_that_spans_lack(db: Database):
    """Lost: every table would have a model's columns, empty."""
    fill(db)
    for dimension in ("gate:GATE_A", "phase:LEAD"):
        assert next(line for line in say("trends", dimension).splitlines() if line.startswith("DAY")).endswith("QUEUE")


def test_trends_of_a_tool_and_of_its_prompt_show_waiting_apart_from_working(db: Database):
    """Lost: a tool would seem slow while it waits for a person; or the waiting time would be invisible."""
    made = []
    for ago in range(10, 0, -1):
        wait = 40_000 if ago <= 2 else 4_000
        for number in range(5):
            at, trace = midnight(ago) + timedelta(hours=number), new_id()
            prompt = span("handoff", "prompt", wait + 3_000, at=at, trace_id=trace)
            inside = {"at": at, "trace_id": trace, "parent_span_id": prompt.span_id}
            made += [
                prompt,
                span("wait", "Bash", wait, **inside),
                span("tool", "Bash", 2_000, **inside),
                span("tool", "Edit", 500, **inside),
            ]
    # Waits in traces without the tool and waits of another parent do not count.
    made.append(span("wait", "Bash", 900_000, at=midnight(1)))
    made.append(span("wait", "Bash", 900_000, at=midnight(1), trace_id=made[-2].trace_id, parent_span_id=new_id()))
    insert(db, made)
    for dimension, before, after in (
        ("tool:Bash", ["2s", "4s", "67", "%"], ["2s", "40s", "95", "%"]),
        ("handoff:prompt", ["3s", "4s", "57", "%"], ["3s", "40s", "93", "%"]),
    ):
        said = say("trends", dimension).splitlines()
        rows = {line.split()[0]: line.split() for line in said if line.startswith("20")}
        assert next(line for line in said if line.startswith("DAY")).endswith("QUEUE  WAIT P50  WAITING")
        for day, expected in ((9, before), (1, after)):
            found = rows[str(midnight(day).date())]
            assert [found[2], *found[-3:]] == expected
        assert any("P50 to P99 exclude it" in line for line in said)
    days = json.loads(say("trends", "tool:Bash", "--json"))["days"]
    assert days[-2]["waiting"] == {"count": 5, "p50_ms": 40_000.0, "sum_ms": 200_000.0, "share": pytest.approx(20 / 21)}
    assert "WAIT" not in say("trends", "tool:Edit")
    # A wait does not wait for itself, nor for its siblings.
    assert [day["waiting"] for day in json.loads(say("trends", "wait:Bash", "--json"))["days"] if day["waiting"]] == []
    assert "WAIT" not in say("trends", "wait:Bash")


def test_trends_of_a_name_over_the_length_limit_show_its_own_measures(db: Database):
    """Lost: two long names that begin the same would show no measures, or those of both combined."""
    made = []
    for number, name in enumerate(("m" * 250 + "a", "m" * 250 + "b")):
        trace, parent = new_id(), new_id()
        more = {"at": midnight(1), "trace_id": trace, "parent_span_id": parent}
        made.append(span("llm", name, 5_000, attributes={"ttft_ms": 100 * (number + 1)}, **more))
        made.append(span("wait", name, 1_000 * (number + 1), **more))
    insert(db, made)
    keys = [found["dimension_key"] for found in json.loads(say("trends", "llm", "--json"))["dimensions"]]
    shown = [json.loads(say("trends", f"llm:{key}", "--json"))["days"][-2] for key in keys]
    assert {(day["measures"]["ttft_ms"], day["waiting"]["sum_ms"]) for day in shown} == {(100, 1_000), (200, 2_000)}


def test_few_days_and_no_days_are_reported_as_such(db: Database):
    """Lost: a new user would take silence for a failure, or three days for a steady trend."""
    assert say("trends").startswith(f"No spans since {midnight(90).date()}: ")
    insert(db, [span("gate", "GATE_A", 0, at=midnight(ago)) for ago in (1, 2, 3)])
    assert "3 of 8 days known" in say("trends")
    assert "3 closed day(s) with spans: telling changes from noise needs 8." in say("trends", "gate:GATE_A")
    assert json.loads(say("trends", "--json"))["dimensions"][0]["changes"] == {"time": [], "volume": [], "p90": []}


@pytest.mark.only_on(EMBEDDED, reason="the output is the same on every server")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trends", "gate:GATE_B"], "did you mean gate:GATE_A?"),
        (["trends", "Gate:gate_a"], "did you mean gate:GATE_A?"),
        (["trends", "zzz:yyy"], "`leo-telemetry trends` lists those that do"),
        (["trends", "phases"], "did you mean phase?"),
        (["trends", ":X"], "is not a dimension"),
        (["compare", "gate:GATE_A", "phase:LEED"], "did you mean phase:LEAD?"),
        (["compare", "gate:GATE_A", "gate:GATE_A"], "both gate:GATE_A"),
        (["compare", "gate:GATE_A", "LEAD"], "is not a dimension"),
        (["compare"], "given: nothing"),
        (["compare", "gate:GATE_A"], "given: A"),
        (["compare", "gate:GATE_A", "phase:LEAD", "--at", "2026-02-08"], "given: A, B, --at"),
        (["compare", "gate:GATE_A", "--item", "x"], "given: A, --item"),
        (["compare", "--at", "2026-02-08"], "given: --at"),
        (["compare", "--item", "x", "--project", "shop"], "omit --project"),
        (["compare", "--item", "00000000-0000-0000-0000-000000000000"], "`leo-telemetry items` lists them"),
        (["compare", "gate:GATE_A", "--at", "8 February"], "write it like 2026-02-08"),
        (["compare", "gate:GATE_A", "--at", "2999-01-01"], "in the future"),
        (["compare", "gate:GATE_A", "--at", "0001-01-01"], "before any span"),
        (["compare", "gate:GATE_A", "--at", "1972-01-03", "--days", "9"], "before any span"),
        (["compare", "gate:GATE_A", "--before", "2026-02-01"], "need both"),
        (["compare", "gate:GATE_A", "--before", "2026-02-01", "--after", "2026-02-02", "--days", "3"], "no --days"),
        (["compare", "gate:GATE_A", "--before", "2026-02-03..2026-02-01", "--after", "2026-02-09"], "ends before"),
        (["compare", "gate:GATE_A", "--before", "2026-02-01..2026-02-03", "--after", "2026-02-03"], "overlap"),
        (["compare", "gate:GATE_A", "--before", "2026-02-01..", "--after", "2026-02-03"], "is not a day"),
        (["compare", "gate:GATE_A", "--before", "1990-01-01..2026-02-01", "--after", "2026-02-03"], "longer than"),
    ],
)
def test_a_usage_error_is_answered_with_the_remedy(db: Database, words: list[str], said: str):
    """Lost: a typo would end in a traceback or an empty table."""
    insert(db, [span("gate", "GATE_A", 5), span("phase", "LEAD", 5)])
    assert said in refused(*words)


def comparisons() -> dict[str, Callable[[], list[str]]]:
    days = (
        "..".join(str(midnight(ago).date()) for ago in (24, 18)),
        "..".join(str(midnight(ago).date()) for ago in (10, 4)),
    )
    return {
        "dimensions": lambda: ["gate:GATE_A", "phase:LEAD", "--days", "9"],
        "a day": lambda: ["gate:GATE_A", "--at", str(STEP.date())],
        "periods": lambda: ["gate:GATE_A", "--before", days[0], "--after", days[1]],
    }


@pytest.mark.parametrize("way", ["dimensions", "a day", "periods"])
def test_compare_reports_which_side_is_slower_by_how_much_and_with_what_certainty(db: Database, way: str):
    """Lost: people would get a number without its uncertainty, or a verdict about the wrong side."""
    fill(db, step=1.5)
    words = comparisons()[way]()
    found = json.loads(say("compare", *words, "--json"))
    assert found["verdict"] == "slower"
    ratio = found["p50"]["ratio"]
    assert ratio["low"] < ratio["value"] < ratio["high"]
    assert ratio["value"] == pytest.approx(found["p50"]["b_ms"] / found["p50"]["a_ms"])
    if way != "dimensions":
        assert ratio["low"] < 1.5 < ratio["high"]
        assert (found["a"]["days"], found["b"]["days"], found["a"]["spans"], found["b"]["spans"]) == (7, 7, 84, 42)
    said = say("compare", *words)
    assert said.splitlines()[-1] == "Verdict: B is slower"
    assert said == say("compare", *words)
    assert f"{found['p50']['ratio']['value']:.2f}x" in said


def test_compare_finds_no_evidence_without_a_change_and_reports_too_few_spans(db: Database):
    """Lost: noise would be a finding."""
    fill(db, step=1.0)
    at = str(midnight(17).date())
    assert say("compare", "gate:GATE_A", "--at", at).endswith("Verdict: no evidence that B is slower or faster\n")
    insert(db, [span("gate", "RARE", 5, at=midnight(3)), span("gate", "RARE", 500, at=midnight(1))])
    said = say("compare", "gate:RARE", "--at", str(midnight(2).date()), "--days", "2").splitlines()
    assert "Verdict: no evidence: the interval of a P50 needs at least 10 spans per side" in said
    assert said[-1] == "Each side is one day: the intervals do not include the variation between days."
    empty = refused("compare", "gate:RARE", "--at", str(midnight(2).date()), "--days", "1")
    assert empty.endswith("`leo-telemetry trends gate:RARE` shows which days have some")


def test_compare_around_an_item_compares_its_dimension_before_and_since_it_was_opened(db: Database):
    """Lost: evidence that the dimension of a closed item is fast again."""
    fill(db, step=0.5)
    opened = STEP + timedelta(hours=2)
    detail = {"dimension_type": "gate", "dimension_key": "GATE_A", "opened_window_end": opened.isoformat()}
    execute(
        db,
        "INSERT INTO continuous_improvements (fingerprint, title, description, source_detail)"
        " VALUES ('f', 't', '', %s)",
        (json.dumps(detail | {"project": ""}),),
    )
    item = one(db, "SELECT id::text FROM continuous_improvements")
    found = json.loads(say("compare", "--item", item, "--json"))
    assert found["verdict"] == "faster"
    assert (found["a"]["last_day"], found["b"]["first_day"]) == (str(midnight(11).date()), str(STEP.date()))
    assert datetime.fromisoformat(found["b"]["last_day"]).date() == midnight(4).date()
    execute(db, "UPDATE continuous_improvements SET source_detail = '{}'")
    assert "has no dimension" in refused("compare", "--item", item)
