"""Alerts by real processes: `worker --once`, the daemon's sensor and job, `alerts test`, `alerts retry`, `doctor`.

Each test has a home of its own, with one item and its alert, which waits for a channel.
"""

import json
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import open_spans
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.builders import insert, midnight, slow, span, spans_of
from leo_telemetry_pipeline_tests.http_servers import OK, UNAVAILABLE, Received, mail_server, web_server
from leo_telemetry_pipeline_tests.processes import copy_home, run, sees_processes, until

pytestmark = sees_processes

NEW = "[critical] Slow: gate:A is 10x its baseline"
OVERDUE = "[warning] Overdue: gate:HANGS has not ended after 5 min"
SECRET = "s3cr3t-path"


@pytest.fixture(scope="module")
def original(make_home: Callable[[Path], Path], short_folder: Path) -> Path:
    """Create a home whose only analysis opened one item, and where one gate has 100 spans of a minute."""
    home = make_home(short_folder / "alerting")
    with database.ready(Settings({PREFIX + "HOME": str(home)})) as target, closing(Database(target)) as db:
        slow(db, "A")
        insert(db, spans_of("gate", "HANGS", [60_000] * 100, at=midnight(2)))
    done = run(home, "analyze")
    assert done.code == 0, done.err
    processes.all_ended(home)
    return home


@pytest.fixture
def alerting(original: Path, home: Path) -> Path:
    """Create the home of a test."""
    return copy_home(original, home)


def variables(*urls: str) -> dict[str, str]:
    """Return settings with these channels, without a digest, which would depend on the time of day."""
    return {
        PREFIX + "ALERT_URLS": " ".join(urls),
        PREFIX + "ALERT_NETWORKS": "127.0.0.0/8",
        PREFIX + "ALERT_DIGEST": "off",
    }


def hook(web: Received) -> str:
    return f"webhook+http://127.0.0.1:{web.port}/{SECRET}"


def post_box(mail: Received) -> str:
    return f"mailto://127.0.0.1:{mail.port}/?from=leo@example.org&to=ann@example.org&mode=insecure"


def titles(web: Received) -> list[str]:
    return sorted(json.loads(body)["title"] for body in web.bodies)


def subjects(mail: Received) -> list[str]:
    return sorted(str(message_from_bytes(each, policy=policy.default)["subject"]) for each in mail.requests)


def hang(home: Path) -> None:
    """Let a gate run for five minutes already, in a process that still sends heartbeats."""
    with database.ready(Settings({PREFIX + "HOME": str(home)})) as target, closing(Database(target)) as db:
        late = span("gate", "HANGS", None, at=datetime.now(UTC) - timedelta(minutes=5, seconds=1))
        open_spans.announce(db, [late], [], host="h", pid=7)
        # As if it did so for a while: the commands of this test take long on a busy machine.
        with db.transaction() as cursor:
            cursor.execute("UPDATE workflow_open_spans SET beat_at = clock_timestamp() + interval '10 min'")


def test_a_worker_that_runs_once_tells_a_webhook_and_a_mailbox_what_is_slow_and_what_hangs_once(alerting: Path):
    """Lost: a laptop without a daemon, on which nobody is told anything, or is told at each session."""
    hang(alerting)
    with web_server() as web, mail_server() as mail:
        for _ in range(2):
            done = run(alerting, "worker", "--once", **variables(hook(web), post_box(mail)))
            assert (done.code, done.err) == (0, "")
    told = [title.partition(" has not ended")[0] for title in titles(web)]
    assert told == [NEW, OVERDUE.partition(" has not ended")[0]]
    assert subjects(mail) == titles(web)
    keys = [json.loads(body)["key"] for body in web.bodies]
    assert sum(key.startswith("slow_span:") for key in keys) == 1


def test_the_daemon_delivers_by_its_sensor_and_the_asset_says_how_many(alerting: Path):
    """Lost: a team that runs the daemon only, and is told nothing."""
    asset, job = '["leo_telemetry", "delivered_alerts"]', "leo_telemetry_alerts_job"
    ended = "SELECT status FROM runs WHERE pipeline_name = %s"
    made = "SELECT count(*) FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION' AND asset_key = %s"
    checked = "SELECT execution_status FROM asset_check_executions WHERE check_name = 'every_alert_is_delivered'"
    with (
        web_server() as web,
        mail_server() as mail,
        processes.started(alerting, "worker", variables=variables(hook(web), post_box(mail))) as daemon,
    ):
        until(lambda: titles(web) and subjects(mail), "both channels have the alert", by=daemon)
        until(lambda: processes.dagster_says(alerting, ended, job) == [("SUCCESS",)], "the job ends", by=daemon)
        assert processes.dagster_says(alerting, made, asset) == [(1,)]
        assert processes.dagster_says(alerting, checked) == [("SUCCEEDED",)]
    assert (titles(web), subjects(mail)) == ([NEW], [NEW])


def test_channels_can_be_tested_one_by_one(alerting: Path):
    """Lost: a wrong URL is noticed on the day on which it matters."""
    with web_server() as web, mail_server() as mail:
        done = run(alerting, "alerts", "test", **variables(hook(web), post_box(mail)))
        assert (done.code, done.out.count(": sent\n"), done.err) == (0, 2, "")
        assert titles(web) == subjects(mail) == ["[info] Test of this channel"]
    with web_server(lambda request, client: client.sendall(UNAVAILABLE)) as web, mail_server() as mail:
        done = run(alerting, "alerts", "test", **variables(hook(web), post_box(mail), "json://169.254.169.254/x"))
    assert (done.code, done.out.count(": sent\n")) == (4, 1)
    assert sorted(line.partition(": ")[2] for line in done.err.splitlines()) == [
        "127.0.0.1 answered 503", "json:// calls any address: use webhook+https://",
    ]  # fmt: skip
    assert SECRET not in done.out + done.err
    done = run(alerting, "alerts", "test")
    assert (done.code, "No channel is configured" in done.err) == (2, True)


def test_what_a_channel_refused_is_delivered_by_a_retry(alerting: Path):
    """Lost: the alerts of the days on which a chat was away."""
    answers = [UNAVAILABLE, OK]
    with web_server(lambda request, client: client.sendall(answers.pop(0))) as web:
        done = run(alerting, "alerts", "retry", **variables(hook(web)))
        assert (done.code, done.out) == (4, "0 to try again; 0 delivered, 1 waiting, 0 given up\n")
        assert done.err.endswith(": 127.0.0.1 answered 503\n")
        done = run(alerting, "alerts", "retry", **variables(hook(web)))
        assert (done.code, done.out, done.err) == (0, "1 to try again; 1 delivered, 0 waiting, 0 given up\n", "")
    assert titles(web) == [NEW, NEW]
    assert len({json.loads(body)["key"] for body in web.bodies}) == 1


def endless(request: bytes, client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    with suppress(OSError):
        while True:
            client.sendall(b"x" * 65536)


def moved(request: bytes, client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "why"), [(moved, "redirect (302), which is not followed"), (endless, "more than 64 KB")]
)
def test_doctor_says_which_answer_was_refused(alerting: Path, answer: Callable, why: str):
    """Lost: a channel that gets nothing, for a reason that nobody sees."""
    with web_server(answer) as web:
        settings = variables(hook(web))
        done = run(alerting, "worker", "--once", **settings)
        assert why in done.err
        said = run(alerting, "doctor", **settings).out
    assert why in said
    assert SECRET not in said


def test_doctor_says_which_channels_are_refused_before_any_call(alerting: Path):
    """Lost: an operator believes that a channel works which is never called."""
    urls = {
        "webhook+https://off.example.net/x": "off.example.net is not in LEO_TELEMETRY_ALERT_HOSTS",
        "webhook+https://169.254.169.254/x": "169.254.169.254 is not",
        "webhook+https://localhost/x": "127.0.0.1 is not a public address",
        "xml://127.0.0.1/x": "use webhook+https://",
    }
    settings = variables(*urls) | {PREFIX + "ALERT_NETWORKS": "", PREFIX + "ALERT_HOSTS": "localhost,127.*"}
    run(alerting, "worker", "--once", **settings)
    said = " ".join(run(alerting, "doctor", **settings).out.split())
    assert [why for why in urls.values() if why not in said] == []
