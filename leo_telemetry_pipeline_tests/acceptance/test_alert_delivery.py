"""Alerts arrive at least once and in order, even if channels fail and processes are killed; names in them are inert."""

import csv
import io
import json
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from leo_telemetry_pipeline.delivery.apprise_channel import AppriseChannel
from leo_telemetry_pipeline.delivery.channels import configured
from leo_telemetry_pipeline.delivery.deliver import Patience, deliver
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import outbox
from leo_telemetry_pipeline.store.outbox import Alert
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.alert_trials import trial
from leo_telemetry_pipeline_tests.http_servers import mail_server, web_server
from leo_telemetry_pipeline_tests.processes import command, environment, finished

HOSTILE = (
    "<!channel>", "&lt;!channel&gt;", "<\u200b!here>", "<!subteam^S1|x>", "<@U123>", "@everyone", "<#C1>",
    "<https://evil.example|ok>", "<mailto:eve@example.org|ok>", "www.evil.example", "mailto:eve@example.org",
    "[x](javascript:alert(1))", "![x](https://evil.example/x.png)", "[x]: https://evil.example", "javascript:alert(1)",
    "\x1b[31mred\x1b[0m", "\x9b31m", "\x07", "\u202egnp.exe", "\u2066x\u2069", "a\u200bb\u2060c\ufeff", "\U000e0001x",
    "=cmd()", "\t=cmd()", "\uff1dcmd()", "<img src=x onerror=alert(1)>", "</pre><script>alert(1)</script>",
    "a\r\nBcc: eve@example.org", "a\u2028Bcc: eve@example.org", "a\x0bBcc: eve", "\r\n.\r\nMAIL FROM:<eve@example.org>",
)  # fmt: skip
NAME = " ".join(HOSTILE)
# Bytes that would do something, in any of the channels.
LIVE = (
    b"<!", b"<@U", b"<#C", b"@everyone", b"@example.org", b"](", b"<img", b"<script", b"<https:", b"<mailto",
    b"://evil", b"www.evil", b"mailto:", b"javascript:", b"\nBcc:", b"\x1b", b"\x07",
    *map(str.encode, "\x9b\u202e\u2066\u200b\u2060\ufeff\U000e0001\u2028\x0b"),
)  # fmt: skip


def test_every_alert_arrives_while_a_channel_fails_and_processes_are_killed(
    db: Database, settings: Settings, home: Path
):
    """Lost: the alert that was being sent when a laptop closed, or when Slack was down."""
    environ = environment(home, **{PREFIX + "DATABASE_URL": settings.database_url})
    outcome = trial(db, environ, items=12, seed=11)
    assert outcome.problems == []
    assert outcome.kills > 0


def put(db: Database) -> None:
    body = {"name": NAME, "why": NAME, "ratio": 2.0, "since": "2026-03-01T00:00:00", "item_id": NAME}
    with db.transaction() as cursor:
        outbox.write(cursor, [Alert(key="k", kind="new", severity="high", title=f"Slow: {NAME}", body=body)])


def delivered(db: Database, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "ALERT_URLS", url)
    monkeypatch.setenv(PREFIX + "ALERT_NETWORKS", "127.0.0.0/8")
    assert deliver(db, configured(Settings()), Patience()).errors == {}
    assert outbox.backlog(db).waiting == 0


def test_names_are_inert_in_the_document_of_a_webhook(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """Lost: a span name alarms a whole company, once a webhook passes the text on to a chat."""
    put(db)
    with web_server() as web:
        delivered(db, f"webhook+http://127.0.0.1:{web.port}/x", monkeypatch)
    [body] = web.bodies
    shown = json.dumps(json.loads(body), ensure_ascii=False).encode()
    assert [live for live in LIVE if live in shown or live in body] == []


def test_names_are_inert_in_slack(db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Lost: a span name alarms everyone in the channel, or shows a link that is not ours."""
    from apprise.plugins.slack import NotifySlack

    put(db)
    with web_server() as web:
        monkeypatch.setattr(NotifySlack, "webhook_url", f"http://127.0.0.1:{web.port}/services")
        delivered(db, "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/", monkeypatch)
    [body] = web.bodies
    shown = json.dumps(json.loads(body), ensure_ascii=False).encode()
    assert [live for live in LIVE if live in shown] == []
    # Escaped once: twice would show people "&amp;lt;" for what was typed as "&lt;".
    assert b"&amp;amp;" not in shown
    assert b"&amp;lt;!channel" in shown


def test_names_are_inert_in_mail(db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Lost: a span name adds recipients to a mail, or a script to its page."""
    put(db)
    with mail_server() as mail:
        to = "from=leo@example.org&to=ann@example.org&mode=insecure"
        delivered(db, f"mailto://127.0.0.1:{mail.port}/?{to}", monkeypatch)
    [sent] = mail.requests
    assert b"\nBcc" not in sent
    read = message_from_bytes(sent, policy=policy.default)
    assert "Bcc" not in read
    texts = [str(read["subject"])]
    texts += [part.get_content() for part in read.walk() if part.get_content_maintype() == "text"]
    assert len(texts) > 1
    for text in texts:
        assert [live for live in LIVE if live in text.encode()] == []


def test_names_are_inert_in_csv_and_on_a_terminal(db: Database, settings: Settings, home: Path):
    """Lost: a spreadsheet runs what a span is called, or a terminal hides the line."""
    with db.transaction() as cursor:
        outbox.write(cursor, [Alert(key=n, kind="new", severity="high", title=n) for n in (*HOSTILE, "+1", "-1", "@a")])
    environ = environment(home, **{PREFIX + "DATABASE_URL": settings.database_url})
    done = finished(command("alerts", "list", "--format", "csv"), environ)
    assert done.code == 0, done.err
    cells = [cell for row in csv.reader(io.StringIO(done.out)) for cell in row]
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\uff1d"))] == []
    assert "'=cmd()" in cells
    table = finished(command("alerts"), environ).out
    for out in (done.out, table):
        assert "\x1b" not in out
        assert "\u202e" not in out


@pytest.mark.parametrize(
    "parameters", ["redirect=yes", "a=1&redirect=yes", "REDIRECT=yes", "%72edirect=yes", "redirect=no&redirect=yes"]
)
def test_no_parameter_lets_apprise_follow_redirects(parameters: str):
    """Lost: an approved service sends the message, with its secrets, elsewhere."""
    channel = AppriseChannel("slack", f"slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?{parameters}")
    assert [one.redirects for one in channel._service] == [False]
