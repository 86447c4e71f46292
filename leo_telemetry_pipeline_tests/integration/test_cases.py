"""``leo-telemetry import`` of files that once failed: what is stored, and what is quarantined."""

import json
import re
import shlex
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from leo_telemetry_pipeline.cli.commands import cli
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings, bundled
from leo_telemetry_pipeline.store import intake
from leo_telemetry_pipeline.store.days import Window, milliseconds
from leo_telemetry_pipeline.store.dimensions import observations
from leo_telemetry_pipeline.store.name_templates import Folds
from leo_telemetry_pipeline.store.retention import purge
from leo_telemetry_pipeline.store.retention.purge import Selection
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import execute, insert, midnight, one, span

CASES = Path(__file__).resolve().parents[1] / "cases"
SPANS = "SELECT count(*) FROM workflow_trace_log"
ASIDE = "SELECT count(*) FROM telemetry_quarantine"
WORDS = "please fire employee Alex Example"

pytestmark = pytest.mark.usefixtures("settings")


def load(*arguments: object, input_: bytes | None = None) -> Result:
    """Run the command in this process, on the database from the environment; old times are accepted."""
    line = ["import", *map(str, arguments)]
    return CliRunner().invoke(cli, line, input=input_, catch_exceptions=False)


def row(**more: object) -> dict:
    made = {"trace_id": str(uuid.uuid4()), "span_id": str(uuid.uuid4()), "span_type": "gate", "span_name": "G"}
    return made | {"start_time_ms": milliseconds(midnight(1)), "duration_ms": 5} | more


def written(folder: Path, rows: list, name: str = "f.jsonl") -> Path:
    path = folder / name
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in rows))
    return path


@pytest.mark.parametrize("order", [("ch_binary.parquet", "ch_same.jsonl"), ("ch_same.jsonl", "ch_binary.parquet")])
def test_spans_whose_text_is_written_as_binary_are_not_stored_a_second_time(
    db: Database, order: tuple[str, str]
) -> None:
    """Lost: names of eight letters become hex digits, and each span is stored twice."""
    for name in order:
        assert load("--accept-times", CASES / name).exit_code == 0
    assert one(db, SPANS) == 20
    assert one(db, SPANS + " WHERE span_name ~ '^[0-9a-f]{16}$|^[0-9a-f]{32}$' OR span_type ~ '^[0-9a-f]{16}$'") == 0


FRACTIONS = ("frac_rows.jsonl", "frac_iso.jsonl", "frac_otlp.json")


@pytest.mark.parametrize("first", range(3))
def test_a_fraction_of_a_millisecond_makes_no_second_span(db: Database, first: int) -> None:
    """Lost: a span from two sources counts twice, once too fast."""
    for name in FRACTIONS[first:] + FRACTIONS[:first]:
        assert load("--accept-times", CASES / name).exit_code == 0
    assert db.rows("SELECT start_time_ms, duration_ms FROM workflow_trace_log") == [(1_795_955_340_000, 5_211)]


def test_times_in_seconds_are_not_stored_until_a_person_accepts_them(db: Database) -> None:
    """Lost: a month of history is silently filed under January 1970."""
    done = load(CASES / "sec.jsonl")
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert one(db, SPANS) == 0
    found = re.search(r"use `(--map [^`]+)`", done.stderr)
    assert found
    mended = load("--accept-times", *shlex.split(found[1]), CASES / "sec.jsonl")
    assert "20 span(s) stored; spans of 2026-11-29\n" in mended.output
    assert load("--accept-times", CASES / "sec.jsonl").exit_code == 0
    assert one(db, SPANS) == 40


def test_implausible_times_are_counted_once_for_the_doctor(db: Database, tmp_path: Path) -> None:
    """Lost: one machine's broken clock goes unnoticed among many."""
    late = milliseconds(midnight(-3))
    odd = row(end_time_ms=milliseconds(midnight(1)) + 5_210, duration_ms=5_210_000_000)
    path = written(tmp_path, [row(), row(), row(), row(start_time_ms=late), odd])
    done = load(path)
    assert done.exit_code == 0
    assert "1 span(s) with an implausible time: starts after tomorrow" in done.stderr
    assert f"spans from {midnight(1).date()} to {midnight(-3).date()}" in done.stdout
    assert load(path).exit_code == 0
    found = {(each.source, each.kind, each.detail, each.count) for each in intake.since(db, midnight(1))}
    assert found == {
        ("import", intake.IMPLAUSIBLE_TIMES, "starts after tomorrow", 1),
        ("import", intake.IMPLAUSIBLE_TIMES, "its duration contradicts its end", 1),
    }
    assert one(db, "SELECT max(duration_ms) FROM workflow_trace_log") == 5_210


def test_a_preset_accepts_its_old_times(db: Database) -> None:
    """Lost: real data to try the system on; or the doctor complains about times that are old on purpose."""
    path = bundled("examples") / "data" / "nezha-2022-08-23" / "13_28.csv.gz"
    done = load("--preset", "nezha", path)
    assert done.exit_code == 0
    assert "; spans of 2022-08-23\n" in done.output
    assert intake.since(db, midnight(1)) == []


def test_a_wrong_file_leaves_nothing_behind(db: Database) -> None:
    """Lost: a conversation ends up in a table that many may read."""
    done = load(CASES / "wrong_file.jsonl")
    assert (done.exit_code, done.stderr.count("\n"), done.stdout) == (1, 1, "")
    assert "a Claude Code transcript" in done.stderr
    assert "Alex" not in done.output
    assert (one(db, SPANS), one(db, ASIDE)) == (0, 0)


@pytest.mark.parametrize("name", ["otlp_old_ils.json", "otlp_snake_inner.json"])
def test_other_field_names_are_read_or_refused_and_never_nothing(db: Database, name: str) -> None:
    """Lost: a misread file ends with a friendly "0 span(s) stored"."""
    done = load("--accept-times", CASES / name)
    stored = one(db, SPANS)
    assert (done.exit_code == 0) == (stored > 0)
    assert stored or done.stderr.count("\n") == 1


def test_no_text_of_lines_that_are_not_spans_is_kept_even_among_good_lines(db: Database, tmp_path: Path) -> None:
    """Lost: a conversation is stored because one good line precedes it."""
    transcript = (CASES / "wrong_file.jsonl").read_text().splitlines()
    logs = {"level": "info", "message": WORDS, "trace_id": "1" * 32, "span_id": "2" * 16}
    defect = row(duration_ms=-1)
    others = [f"no JSON: {WORDS}", f'"{WORDS}"', [WORDS], transcript[0][:-9], {WORDS: 1}]
    assert load(written(tmp_path, [row(), *transcript, logs, defect, *others])).exit_code == 0
    kept = [content for (content,) in db.rows("SELECT content FROM telemetry_quarantine ORDER BY line")]
    assert len(kept) == len(transcript) + 7
    assert kept[0] == "[not kept; keys: type, sessionId, uuid, timestamp, message]"
    assert [text for text in kept if "Alex" in text] == []
    assert kept[-1] == "[not kept; keys: …]"
    assert kept[len(transcript) + 1] == json.dumps(defect)


def test_a_purge_finds_lines_that_an_import_quarantined(db: Database, tmp_path: Path) -> None:
    """Lost: data of a purged customer stays in the quarantined lines."""
    rows = [row(), "{oops", {"a": 1}, row(duration_ms=-1), row(duration_ms=-1, project="other")]
    assert load("--project", "shop", written(tmp_path, rows)).exit_code == 0
    header = "trace_id,span_id,span_type,span_name,start_time_ms,project\n"
    good, bad = (",".join(map(str, [*list(row().values())[:5], "mine"])) for _ in range(2))
    written(tmp_path, [header + good, bad.replace("gate", "", 1)], "f.csv")
    assert load(tmp_path / "f.csv").exit_code == 0
    resource = {"attributes": [{"key": "leo.project", "value": {"stringValue": "otlp"}}]}
    request = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [{"name": "x"}]}]}]}
    assert load(written(tmp_path, [row(), request], "o.jsonl")).exit_code == 0
    assert one(db, ASIDE) == 6
    for project, count in (("shop", 3), ("other", 1), ("mine", 1), ("otlp", 1), ("", 0)):
        assert purge.purge(db, Selection(project=project)).quarantined == count, project
    assert one(db, ASIDE) == 0


def test_one_wrong_file_does_not_keep_out_the_others(db: Database, tmp_path: Path) -> None:
    """Lost: a nightly import of forty files, because of one wrong file."""
    good = [written(tmp_path, [row()], f"{number}.jsonl") for number in range(2)]
    zipped = tmp_path / "x.lz4"
    zipped.write_bytes(b"\x04\x22\x4d\x18" + bytes(20))
    done = load(good[0], CASES / "wrong_file.jsonl", zipped, good[1])
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 2
    assert (
        f"{zipped}: this is compressed with lz4, which is not supported: `lz4 -dc FILE | leo-telemetry import -`"
        in (done.stderr)
    )
    assert one(db, SPANS) == 2


def test_a_file_may_come_from_standard_input(db: Database, tmp_path: Path) -> None:
    """Lost: the remedy for every compressed file."""
    done = load("-", input_="".join(json.dumps(each) + "\n" for each in [row(), "x"]).encode("utf-16"))
    assert done.stdout.startswith("standard input: 1 span(s) stored, 1 bad line(s) quarantined")
    assert one(db, "SELECT source FROM telemetry_quarantine") == "standard input"
    done = load("-", input_=(CASES / "ch_binary.parquet").read_bytes())
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "standard input: Parquet cannot be read compressed or from a pipe" in done.stderr


def test_standard_input_is_read_once(db: Database) -> None:
    """Lost: one dash too many ends in a traceback."""
    done = CliRunner().invoke(cli, ["import", "-", "-"], input=b"")
    assert isinstance(done.exception, UserError)
    assert "read only once" in done.exception.message


def test_a_span_sent_at_its_start_and_at_its_end_is_stored_with_its_end(db: Database, tmp_path: Path) -> None:
    """Lost: every span that a file contains twice looks like a running one."""
    opened = row(duration_ms=None, status="RUNNING")
    ended = opened | {"end_time_ms": opened["start_time_ms"] + 5_210, "duration_ms": 5_210, "status": "OK"}
    done = load(written(tmp_path, [opened, ended]))
    assert "1 span(s) stored, 1 completed;" in done.stdout
    other = row(duration_ms=None)
    assert load(written(tmp_path, [other])).exit_code == 0
    done = load(written(tmp_path, [other | {"duration_ms": 7}, ended]))
    assert "0 span(s) stored, 1 completed, 1 were already stored;" in done.stdout
    assert db.rows("SELECT duration_ms FROM workflow_trace_log ORDER BY 1") == [(7,), (5_210,)]


def test_both_halves_of_a_zipkin_span_are_stored(db: Database) -> None:
    """Lost: the server half of each call that began in the same millisecond."""
    for _ in range(2):
        assert load("--accept-times", CASES / "zipkin_v2.json").exit_code == 0
    assert one(db, SPANS) == 4


def test_long_names_that_differ_only_at_the_end_are_two_dimensions_from_every_source(
    settings: Settings, db: Database, tmp_path: Path
) -> None:
    """Lost: a slow operation hides behind a fast one whose long name begins the same."""
    names = ["n" * 250 + end for end in "ab"]
    start = milliseconds(midnight(1))
    insert(db, [span("gate", "short", at=midnight(1))])
    for name in names:
        execute(
            db,
            "INSERT INTO workflow_trace_log (trace_id, span_id, span_type, span_name, start_time_ms, duration_ms,"
            " attributes) VALUES (gen_random_uuid(), gen_random_uuid(), 'gate', %s, %s, 5, %s)",
            (name, start, json.dumps({"sd_type": name})),
        )
    assert load(written(tmp_path, [row(span_name=name) for name in names])).exit_code == 0
    sql, parameters = observations(["gate", "gate+sd_type"], ["gate"], Folds())
    window = Window(midnight(2), midnight(), None).parameters()
    rows = db.rows(f"SELECT dimension_type, dimension_key FROM ({sql}) AS o (day, project, dimension_type,"
                   " dimension_key, trace_id, judged_ms, queue_wait_ms)", {**window, **parameters})  # fmt: skip
    keys = [key for kind, key in rows if kind == "gate" and key != "short"]
    assert len(keys) == 4
    assert len(set(keys)) == 2
    assert {len(key) for key in keys} == {200}
