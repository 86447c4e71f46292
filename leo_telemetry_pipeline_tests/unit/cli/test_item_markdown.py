"""Page of `items show --format md`, also for rows and names that came from elsewhere."""

from datetime import timedelta

from leo_telemetry_pipeline.cli.item_markdown import Evidence, render
from leo_telemetry_pipeline.store.items import Event
from leo_telemetry_pipeline_tests.unit.cli.test_item_page import END, FOUND, ID, OPENED, by_hand, item

EVIDENCE = Evidence("▁▁▁▂█", ["s1", "s2", "s3", "s4", "s5", "s6"], ["n1", "n2", "n3"])
OPENING = Event(1, None, "OPEN", END, "system", "3.5x as long as normal", None, None, OPENED)


def test_the_page_says_what_is_slow_since_when_why_and_what_to_do():
    """Lost: a reader of the ticket has to install the program to understand it."""
    assert render(item(), [OPENING], EVIDENCE).splitlines() == [
        "# `subagent:DESIGN takes 3.5x as long as normal`",
        "",
        "`subagent:DESIGN` takes 3.5x as long as normal: 138.2s instead of 39.8s, which costs 3 h per week.",
        "",
        "|  |  |",
        "|---|---|",
        "| status | OPEN since 2026-02-09 15:30:00 UTC |",
        "| before | 39.8s (median) |",
        "| now | 138.2s (median) |",
        "| since | `2026-02-05` |",
        "| how sure | by chance in at most 1 of 10,000 analyses |",
        "| time lost per week | 3 h |",
        "| measured | 412 spans |",
        "",
        "## Why",
        "",
        "- `Slower since 2026-02-05; steady work looks slower by chance in at most 1 of 10,000 analyses`",
        "- `Where the added time goes: subagent:DESIGN +98 s: own time 89 %, waiting in queue 11 %`",
        "- `More common in slow spans: model=large: 80 % of slow spans, 10 % of the others`",
        "",
        "| also slow because of it | of its added time |",
        "|---|---|",
        "| `phase:LEAD` | 91 % |",
        "| `gate+sd_type:G:two words` | 100 % |",
        "",
        "## Trend",
        "",
        "`▁▁▁▂█` P50 per day, oldest first",
        "",
        "## Traces",
        "",
        "- slow: `s1`, `s2`, `s3`, `s4`, `s5`",
        "- typical: `n1`, `n2`",
        "",
        "## What to do next",
        "",
        "1. `leo-telemetry why subagent:DESIGN`: shows every number behind the judgement",
        f"2. `leo-telemetry items ack {ID}`: tells others that someone has seen it",
        f"3. `leo-telemetry items fixed {ID}`: once it is repaired; analyses then measure whether that helped",
        f"4. `leo-telemetry items accept {ID}`: if it is meant to take this long from now on",
        "",
        "## History",
        "",
        "| when (UTC) | status | by | why |",
        "|---|---|---|---|",
        "| 2026-02-09 15:30:00 | OPEN | `system` | `3.5x as long as normal` |",
    ]


def test_the_page_of_a_resolved_item_says_what_the_repair_gave_back():
    """Lost: nobody would know that the work paid off."""
    effect = {"after_ms": 40_000.0, "given_back_ms_per_week": 2 * 3_600_000.0}
    later = Event(1, "VERIFYING", "RESOLVED", END + timedelta(days=9), "system", "fast again", None, effect, OPENED)
    lines = render(item(status="RESOLVED"), [OPENING, later], Evidence()).splitlines()
    assert "| after the fix | 40s |" in lines
    assert "| time given back per week | 2 h |" in lines
    assert f"2. `leo-telemetry items reopen {ID}`: if it should be looked at again" in lines
    assert not any(line.startswith(("## Trend", "## Traces")) for line in lines)


def test_an_item_without_detail_has_a_page():
    """Lost: an item inserted by hand ends in a traceback."""
    lines = render(by_hand({}), [], Evidence()).splitlines()
    assert lines[0] == "# `Look at the build`"
    assert "## Why" not in lines


def test_names_cannot_write_markdown():
    """Lost: a span's name becomes a link, a mention of everyone or a row of a table."""
    evil = "A](javascript:alert(1)) <!channel> `x`\n# B | c\u202e"
    detail = item(found={name: evil for name, value in FOUND.items() if isinstance(value, str)}).source_detail
    members = [{"dimension_type": evil, "dimension_key": evil, "share": 1}]
    events = [Event(1, None, "OPEN", END, evil, evil, None, None, OPENED)]
    page = render(
        item(source_detail={**detail, "members": members, "project": evil}, title=evil), events, Evidence(evil, [evil])
    )
    assert "\u202e" not in page
    assert [line for line in page.splitlines() if line.startswith("# ")] == [page.splitlines()[0]]
    rendered = "".join(part for line in page.splitlines() for part in outside_code(line))
    assert "javascript" not in rendered
    assert "<!channel>" not in rendered


def outside_code(line: str) -> list[str]:
    """Return the parts of a line that are not code, by the rule of CommonMark: equally long runs of backticks."""
    parts, at = [], 0
    while at < len(line):
        start = line.find("`", at)
        if start < 0:
            return [*parts, line[at:]]
        parts.append(line[at:start])
        width = len(line[start:]) - len(line[start:].lstrip("`"))
        end, after = line.find("`" * width, start + width), 0
        while end >= 0:
            after = end + len(line[end:]) - len(line[end:].lstrip("`"))
            if after - end == width:
                break
            end = line.find("`" * width, after)
        assert end >= 0, line
        at = after
    return parts
