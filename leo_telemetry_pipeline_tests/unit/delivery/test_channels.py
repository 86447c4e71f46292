"""Channels: where their URLs come from, which are refused, and that their names reveal nothing."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from leo_telemetry_pipeline.cli import alert_verdicts
from leo_telemetry_pipeline.delivery import apprise_channel, channels, messages
from leo_telemetry_pipeline.delivery.apprise_channel import AppriseChannel
from leo_telemetry_pipeline.delivery.channels import Channels
from leo_telemetry_pipeline.delivery.webhook import Failed
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store.outbox import Backlog

NOW = datetime(2026, 3, 2, tzinfo=UTC)
URL = "webhook+https://hooks.example.com/s3cr3t"


def configured(home: Path, **more: str) -> Channels:
    return channels.configured(Settings({PREFIX + "HOME": str(home)} | {PREFIX + k: v for k, v in more.items()}))


def test_urls_come_from_the_environment_or_from_a_private_file(home: Path):
    """Lost: alerts after a restart, since the variable was set in one terminal only."""
    home.mkdir()
    assert configured(home) == Channels()
    file = home / "alert_urls"
    file.write_text(f"# ours\n{URL}\n\n")
    file.chmod(0o600)
    assert configured(home).names == [channels.name_of(URL)]
    assert len(configured(home, ALERT_URLS=f"{URL}1 {URL}2").names) == 2


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(home: Path, mode: int):
    """Lost: every user of the machine can write into the channel."""
    home.mkdir()
    file = home / "alert_urls"
    file.write_text(URL)
    file.chmod(mode)
    [(_, why)] = configured(home).refused
    assert "chmod 600" in why
    file.unlink()
    file.symlink_to("/etc/hostname")
    assert configured(home).refused
    file.unlink()
    file.mkdir()
    assert configured(home).refused


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("webhook+https://off.example.net/x", "not in LEO_TELEMETRY_ALERT_HOSTS"),
        ("webhook+https://169.254.169.254/x", "LEO_TELEMETRY_ALERT"),
        ("json://169.254.169.254/x", "use webhook+https"),
        ("ntfy://169.254.169.254/x", "not a public address"),
        ("gotifys://user:pw@[::ffff:10.0.0.1]:443/x", "not a public address"),
        ("forms://hooks.example.com/x", "use webhook+https"),
        ("webhook+https://hooks.example.com/x,slack://a/b/c", "separated by blanks"),
    ],
)
def test_doctor_says_which_channel_is_refused_and_why(home: Path, url: str, why: str):
    """Lost: alerts that nobody gets, without a word."""
    found = configured(home, ALERT_URLS=url, ALERT_HOSTS="hooks.example.com")
    [verdict] = alert_verdicts.judge(found, Backlog(), NOW)
    assert why in verdict.state
    assert verdict.remedy
    assert "/x" not in verdict.state


def test_doctor_shows_dead_letters_failures_and_silence(home: Path):
    """Lost: a channel that has failed for weeks, noticed by nobody."""
    found = configured(home, ALERT_URLS=URL)

    def judged(backlog: Backlog) -> tuple[str, bool]:
        [verdict] = alert_verdicts.judge(found, backlog, NOW)
        return verdict.state.partition(": ")[2], bool(verdict.remedy)

    assert judged(Backlog()) == ("0 waiting", False)
    assert judged(Backlog(waiting=2, oldest=NOW)) == ("2 waiting", False)
    assert judged(Backlog(waiting=2, oldest=NOW.replace(month=2))) == ("2 waiting", True)
    assert judged(Backlog(dead=1, last_error="x: away")) == ("0 waiting, 1 given up; x: away", True)
    [verdict] = alert_verdicts.judge(Channels(), Backlog(waiting=3), NOW)
    assert (verdict.state.endswith("3 wait for one"), verdict.remedy) == (True, "")


def test_the_name_of_a_channel_reveals_no_secret():
    """Lost: the token of a chat, in the database and in every screenshot of doctor."""
    name = channels.name_of("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
    assert name.startswith("slack-")
    assert len(name) == len("slack-") + 8
    # Pasted without a scheme.
    for secret in ("TIiajkdnlazkcOXr", "user:s3cr3t@example.org", "TIiajkdnlazkcOXr/x:y"):
        assert channels.name_of(secret).startswith("channel-")


def test_a_service_without_apprise_is_refused_and_a_webhook_is_not(home: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: every alert, without a word, where the extra is not installed."""
    monkeypatch.setattr(apprise_channel, "is_installed", lambda: False)
    found = configured(home, ALERT_URLS=f"slack://a/b/c {URL}")
    assert found.names == [channels.name_of(URL)]
    assert found.refused == ((channels.name_of("slack://a/b/c"), apprise_channel.MISSING),)


def test_a_mistake_of_a_plugin_is_a_failure_of_its_channel_only(monkeypatch: pytest.MonkeyPatch):
    """Lost: all other channels, because one service's code has a bug."""

    def notify(**_: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(AppriseChannel, "_service", SimpleNamespace(notify=notify))
    with pytest.raises(Failed, match="ZeroDivisionError"):
        AppriseChannel("x", "x://").send(messages.example(NOW))
