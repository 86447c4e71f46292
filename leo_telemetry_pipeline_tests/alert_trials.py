"""Trial of delivery: channels that fail, and delivering processes that are killed at random.

Belongs here: the trial, at any size. Does not: expectations (test_alert_delivery, accept_alerts).
"""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes, policy

from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.store import outbox
from leo_telemetry_pipeline.store.outbox import Alert
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import new_id
from leo_telemetry_pipeline_tests.http_servers import OK, UNAVAILABLE, mail_server, web_server

# Forks a delivering process for each line of its input, and prints its id: importing takes long, and only what follows
# is worth interrupting. Short times, so that the trial spends none waiting.
_DELIVERERS = """
import os, signal, sys, time
from leo_telemetry_pipeline.delivery import deliver
from leo_telemetry_pipeline.delivery.apprise_channel import AppriseChannel
from leo_telemetry_pipeline.delivery.channels import configured
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server.database import Database, outside

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
settings = Settings()
channels = configured(settings)
assert len(channels.usable) == 2, channels
for channel in channels.usable:
    isinstance(channel, AppriseChannel) and channel._service
patience = deliver.Patience(lease_s=2, margin_s=1, first_s=0.01, most_s=0.1, in_a_row=1000, batch=5)
for line in sys.stdin:
    process_id = os.fork()
    if not process_id:
        database = Database(outside(settings.database_url, "dagster"))
        while True:
            deliver.deliver(database, channels, patience)
            time.sleep(0.02)
    print(process_id, flush=True)
"""
_KEY = re.compile(r"key-\d+-\w+")


@dataclass(frozen=True)
class Outcome:
    """Keys in the order in which the webhook accepted them; keys by mail; keys of rolled-back transactions; kills."""

    written: Sequence[str]
    rolled_back: Sequence[str]
    by_web: Sequence[str]
    by_mail: Sequence[str]
    kills: int
    dead: int

    @property
    def problems(self) -> list[str]:
        """Return what is not as required."""
        found = []
        for channel, arrived in (("webhook", self.by_web), ("mail", self.by_mail)):
            if set(arrived) != set(self.written):
                missing, more = set(self.written) - set(arrived), set(arrived) - set(self.written)
                found.append(f"{channel}: {len(missing)} never arrived, {len(more)} were never written")
            early = _out_of_order(arrived)
            if early:
                found.append(f"{channel}: resolved before new: {early[:3]}")
        if self.dead:
            found.append(f"{self.dead} given up")
        return found

    @property
    def repeated(self) -> int:
        """Return how many messages arrived again."""
        return sum(count - 1 for arrived in (self.by_web, self.by_mail) for count in Counter(arrived).values())


def trial(database: Database, environ: Mapping[str, str], items: int, seed: int) -> Outcome:
    """Deliver the alerts of items: each is new, later resolved; a third more are rolled back."""
    chance, lock = random.Random(seed), threading.Lock()
    accepted: list[str] = []

    def answer(request: bytes, client: socket.socket) -> None:
        with lock:
            fails = chance.random() < 0.5
            if not fails:
                accepted.append(json.loads(request.partition(b"\r\n\r\n")[2])["key"])
        client.sendall(UNAVAILABLE if fails else OK)

    written, rolled_back = _write(database, items)
    with web_server(answer) as web, mail_server() as mail:
        urls = (
            f"webhook+http://127.0.0.1:{web.port}/hook"
            f" mailto://127.0.0.1:{mail.port}/?from=leo@example.org&to=ann@example.org&mode=insecure"
        )
        more = {PREFIX + "ALERT_URLS": urls, PREFIX + "ALERT_NETWORKS": "127.0.0.0/8"}
        kills = _deliver(database, dict(environ) | more, random.Random(seed + 1))
        mails = [key for request in mail.requests for key in _keys(request)]
    return Outcome(written, rolled_back, accepted, mails, kills, outbox.backlog(database).dead)


def _write(database: Database, items: int) -> tuple[list[str], list[str]]:
    written, rolled_back = [], []
    for number in range(items):
        item = new_id()
        for kind in ("new", "resolved"):
            key = f"key-{number}-{kind}"
            alert = Alert(key=key, kind=kind, severity="warning", title=f"{kind} {key}", item_id=item, episode=1)
            is_undone = number % 4 == 3
            with suppress(_Undo), database.transaction() as cursor:
                outbox.write(cursor, [alert])
                if is_undone:
                    raise _Undo
            (rolled_back if is_undone else written).append(key)
    return written, rolled_back


class _Undo(Exception):
    pass


def _deliver(database: Database, environ: dict[str, str], chance: random.Random) -> int:
    """Run two delivering processes, killing one after the other at random, until nothing waits; return the kills."""
    command = [sys.executable, "-c", _DELIVERERS]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environ, **pipes) as deliverers:
        running = [_start(deliverers), _start(deliverers)]
        kills = 0
        try:
            while (left := outbox.backlog(database)).waiting and not left.dead:
                time.sleep(chance.random())
                place = chance.randrange(2)
                os.kill(running[place], signal.SIGKILL)
                kills += 1
                running[place] = _start(deliverers)
        finally:
            for process_id in running:
                os.kill(process_id, signal.SIGKILL)
            assert deliverers.stdin is not None
            deliverers.stdin.close()
    return kills


def _start(deliverers: subprocess.Popen[str]) -> int:
    assert deliverers.stdin is not None
    assert deliverers.stdout is not None
    deliverers.stdin.write("start\n")
    deliverers.stdin.flush()
    return int(deliverers.stdout.readline())


def _keys(mail: bytes) -> list[str]:
    # A process that is killed while it sends leaves a mail without its end, and perhaps without a subject.
    return _KEY.findall(message_from_bytes(mail, policy=policy.default)["subject"] or "")


def _out_of_order(arrived: Sequence[str]) -> list[str]:
    first = {key: place for place, key in reversed(list(enumerate(arrived)))}
    resolved = [key for key in first if key.endswith("resolved")]
    return [key for key in resolved if first.get(key.replace("resolved", "new"), len(arrived)) > first[key]]
