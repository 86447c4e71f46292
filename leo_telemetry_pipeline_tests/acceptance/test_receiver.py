"""`leo-telemetry serve`: ports, clients that are refused or turned away, and database outages."""

import http.client
import os
import signal
import socket
import ssl
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import grpc
import pytest

from benchmarks import accept_receiver
from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.spool import spool
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.processes import (
    PATIENCE_S,
    database_away,
    free_port,
    has_line,
    sees_processes,
    until,
)
from leo_telemetry_pipeline_tests.receiver_process import (
    JSON,
    PROTOBUF,
    Served,
    as_json,
    as_protobuf,
    head,
    healthy,
    raw,
    serving,
    status_of,
)

pytestmark = sees_processes


def stored_by(line: http.client.HTTPConnection, body: bytes) -> bool:
    """Send spans, over a new connection if the given one was closed; return whether it was."""
    headers = {"content-type": JSON}
    for attempt in range(2):
        try:
            line.request("POST", "/v1/traces", body, headers)
            answer = line.getresponse()
            answer.read()
        except (http.client.RemoteDisconnected, ConnectionError):
            line.close()
            continue
        assert answer.status == 200
        return attempt > 0
    raise AssertionError("the receiver took neither")


def test_more_clients_than_connections_all_get_their_spans_stored(made_home: Path):
    """Lost: all spans of the last clients, while the first ones keep their connections."""
    with serving(made_home, **{PREFIX + "SERVE_CLIENTS": "20"}) as served:
        lines = [http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S) for _ in range(60)]
        try:
            again = [stored_by(line, as_json("crowd")) for _ in range(3) for line in lines]
        finally:
            for line in lines:
                line.close()
        assert served.stored("crowd") == 180
        assert not any(again[:20])
        assert all(again[60:])
        served.connection.request("GET", "/metrics")
        text = served.connection.getresponse().read().decode()
        assert int(text.split("clients_closed_idle_total ")[-1].split()[0]) >= 160
        assert "clients_turned_away_total 0" in text
        assert "turned away" not in served.running.said()


def noticed(home: Path) -> dict[tuple[str, str], int]:
    """Return the notices in the database, by kind and detail."""
    with closing(processes.inside(home)) as db:
        return {tuple(row[:2]): row[2] for row in db.rows("SELECT kind, detail, count FROM telemetry_intake_notices")}


def test_if_all_connections_are_busy_clients_must_retry_and_the_operator_learns_why(made_home: Path):
    """Lost: spans at peak load, without a log line that names the setting to raise."""
    body = as_json("slow")
    with serving(made_home, **{PREFIX + "SERVE_CLIENTS": "3"}) as served, ExitStack() as stack:
        lines = [stack.enter_context(raw(served.port)) for _ in range(3)]
        for line in lines:
            line.sendall(head(JSON, len(body)).replace(b"Host", b"Expect: 100-continue\r\nHost"))
            # From now on the request is in progress.
            assert status_of(line) == 100
            line.sendall(body[:50])

        def turned_away() -> bool:
            with closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)) as asked:
                asked.request("POST", "/v1/traces", as_json("in a rush"), {"content-type": JSON})
                answer = asked.getresponse()
                answer.read()
                return answer.status == 503 and int(answer.headers["Retry-After"]) > 0

        assert turned_away()
        assert turned_away()
        for line in lines:
            line.sendall(body[50:])
            assert status_of(line) == 200
        said = [line for line in served.running.said().splitlines() if "turned away" in line]
        assert len(said) == 1
        assert PREFIX + "SERVE_CLIENTS" in said[0]
        until(lambda: noticed(made_home).get(("too_many_clients", "more than 3 at once"), 0) >= 2, "it is counted")
        done = processes.run(made_home, "doctor")
        assert PREFIX + "SERVE_CLIENTS" in done.out


def said_after_export(served: Served, address: str) -> str:
    """Return the receiver's output after a client has tried to export by gRPC."""
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError):
        # gRPC retries until the time-out, which takes a whole core and a gigabyte every few seconds.
        channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")(as_protobuf(), timeout=2)
    return served.running.said()


def test_a_client_of_another_protocol_is_refused_and_logged(made_home: Path):
    """Lost: all spans of a Collector with a gRPC exporter, without a trace in log or metrics."""
    with serving(made_home) as served:
        address = f"127.0.0.1:{served.port}"
        until(lambda: "using gRPC" in said_after_export(served, address), "the client is named", by=served.running)
        with raw(served.port) as line:
            for piece in (b"P", b"RI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
                line.sendall(piece)
                time.sleep(0.2)
            told = b"".join(iter(lambda: line.recv(1000), b""))
            assert b"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in told
        with raw(served.port) as line, suppress(OSError):
            ssl.create_default_context().wrap_socket(line, server_hostname="localhost")
        said = served.running.said()
        assert said.count("using gRPC (HTTP/2)") == 1
        assert said.count("using TLS") == 1
        assert f"OTEL_EXPORTER_OTLP_ENDPOINT=http://{address}" in said
        until(lambda: noticed(made_home).get(("wrong_protocol", "TLS")) == 1, "TLS is counted")
        assert noticed(made_home)["wrong_protocol", "gRPC (HTTP/2)"] >= 2
        assert served.post(as_json("after strangers")) == 200
        assert "http/protobuf" in served.running.said()


def test_rejections_and_refusals_are_in_the_log_and_in_the_doctors_list(made_home: Path):
    """Lost: spans that no exporter sends again, without anyone noticing."""
    future = str((int(time.time()) + 30 * 86_400) * 10**9)
    with serving(made_home) as served:
        for _ in range(3):
            assert served.post(as_json("")) == 200
            assert served.post(as_json("x" * (1 << 20))) == 200
            assert served.post(as_json("late", startTimeUnixNano=future, endTimeUnixNano=future)) == 200
            assert served.post(b'{"resourceSpans":[{"ScopeSpans":[]}]}') == 400
            assert served.post(b'{"resourceSpans":[}') == 400
            assert served.post(as_json("top")[:-1]) == 400
        assert served.stored("late") == 3
        said = served.running.said()
        assert said.count("rejected: name is missing or empty") == 1
        assert said.count("rejected: a span is larger than 1 MiB") == 1
        assert said.count("starts after tomorrow") == 1
        assert said.count("ScopeSpans where scopeSpans is expected") == 1
        until(lambda: list(noticed(made_home).values()) == [3] * 6, "all of it is counted")
        assert {kind for kind, _ in noticed(made_home)} == {"rejected", "refused", "implausible_times"}
        done = processes.run(made_home, "doctor")
        assert "6 span(s) rejected: otlp" in done.out
        assert "9 request(s) refused" in done.out
        assert "3 span(s) with implausible times" in done.out


def test_the_trial_of_the_receiver_holds_in_a_small_run():
    """Lost: part of every large batch, and clients beyond a hundred; `make accept` runs the full size."""
    figures = [figure for part in accept_receiver.parts(False) for figure in accept_receiver.run(part, 11, False)]
    assert len(figures) > 8
    assert [figure for figure in figures if not figure.held] == []


def test_spans_accepted_during_an_outage_are_stored_when_the_database_is_back(made_home: Path):
    """Lost: an hour of spans, because of a restart of the database."""
    with serving(made_home) as served:
        assert served.post(as_json("before")) == 200
        with database_away(made_home):
            for _ in range(20):
                assert served.post(as_json("meanwhile")) == 200
                assert served.post(as_protobuf("meanwhile"), PROTOBUF) == 200
            assert spool.usage(spool.folder_of(str(made_home)))[0] == 40
        # The receiver uses the database, so it restarts the server.
        until(lambda: processes.answers(made_home), "the database is back", by=served.running)
        until(lambda: served.stored("meanwhile") == 40, "the spans are in the table", by=served.running)
        assert spool.usage(spool.folder_of(str(made_home)))[0] == 0
        assert served.post(as_json("after")) == 200
        until(lambda: served.stored("after") == 1, "spans are stored again", by=served.running)
        assert served.stored("before") == 1


def test_spans_on_disk_survive_the_receiver(made_home: Path):
    """Lost: acknowledged spans, if the machine goes down before the database is back."""
    with serving(made_home) as served, database_away(made_home):
        for _ in range(5):
            assert served.post(as_json("promised")) == 200
        served.running.process.kill()
        served.running.ended()
    with serving(made_home) as served:
        until(lambda: served.stored("promised") == 5, "the spans are in the table", by=served.running)


def test_without_database_and_spool_nothing_is_acknowledged(made_home: Path):
    """Lost: spans are acknowledged with 200 but stored nowhere."""
    with serving(made_home) as served:
        (made_home / "spool").touch()
        with database_away(made_home):
            served.connection.request("POST", "/v1/traces", as_json(), {"content-type": JSON})
            answer = served.connection.getresponse()
            answer.read()
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert served.send(None, {}, "GET", "/readyz") == 503
            assert served.send(None, {}, "GET", "/healthz") == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_under_way_are_answered_before_the_end(number: signal.Signals, made_home: Path):
    """Lost: requests in progress when the receiver ends; or it never ends because one client stalls."""
    body = as_json("last")
    half = head(JSON, len(body)) + body[:50]
    with serving(made_home) as served, raw(served.port) as line, raw(served.port) as stuck, raw(served.port):
        line.sendall(half)
        stuck.sendall(half)
        time.sleep(0.5)
        served.running.interrupt(number)
        time.sleep(0.5)
        line.sendall(body[50:])
        assert status_of(line) == 200
        assert served.running.process.wait(timeout=PATIENCE_S) == 0
        said = served.running.said()
        dashboard, receiver = said.splitlines()
        assert dashboard.startswith("The dashboard is at http://127.0.0.1:")
        assert receiver.startswith("The OTLP receiver is at http://127.0.0.1:")
        processes.all_ended(made_home)


def test_another_address_needs_a_token(home: Path):
    """Lost: a user tries it from a second machine, and everyone on the network can write into the table."""
    done = processes.run(home, "serve", "--host", "0.0.0.0", "--port", str(free_port()))
    has_line(done, "0.0.0.0", PREFIX + "SERVE_TOKEN", "127.0.0.1")
    assert done.code == 2
    assert not home.exists()
    with serving(home, **{PREFIX + "SERVE_HOST": "0.0.0.0", PREFIX + "SERVE_TOKEN": "let me in"}) as served:
        assert served.post(as_json()) == 401
        assert served.post(as_json(), authorization="Bearer let me") == 401
        assert served.post(as_json(), authorization="Bearer let me in") == 200
        assert "let me in" not in served.running.said()


@pytest.mark.parametrize("command", ["serve", "dev"])
def test_a_port_in_use_is_named(command: str, home: Path):
    """Lost: spans go to another program on that port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        option, more = ("--port", []) if command == "serve" else ("--otlp-port", ["--port", str(free_port())])
        done = processes.run(home, command, option, port, *more)
        has_line(done, f"Port {port} is in use", option, PREFIX + "SERVE_PORT")
    assert done.code == 2


def test_dev_runs_the_receiver_and_ends_with_it(made_home: Path):
    """Lost: spans are sent for days to a dead receiver while everything looks well."""
    ui, otlp = free_port(), free_port()
    with processes.started(made_home, "dev", "--port", str(ui), "--otlp-port", str(otlp)) as dev:
        until(lambda: healthy(otlp) and processes.serves(ui), "UI and receiver answer", by=dev)
        assert f"http://127.0.0.1:{ui}," in dev.said()
        assert f"http://127.0.0.1:{otlp}/v1/traces" in dev.said()
        served = Served(made_home, otlp, dev)
        with closing(served.connection):
            assert served.post(as_json("of dev")) == 200
            assert served.stored("of dev") == 1
        lines = processes.processes_of(made_home).items()
        [receiver] = [pid for pid, line in lines if " serve " in line and "lifeline" not in line]
        os.kill(receiver, signal.SIGKILL)
        assert dev.ended() == 1
        assert "the OTLP receiver ended" in dev.said()
        processes.all_ended(made_home)


def test_the_receiver_works_without_its_outside_database(home: Path):
    """Lost: spans of a machine that started before its database server."""
    url = f"postgresql://leo:let-me-in@127.0.0.1:{free_port()}/spans"
    with serving(home, **{PREFIX + "DATABASE_URL": url}) as served:
        assert served.post(as_json()) == 200
        assert served.send(None, {}, "GET", "/readyz") == 200
        assert spool.usage(spool.folder_of(str(home)))[0] == 1
        said = served.running.said()
        assert "does not answer" in said
        assert "wait on disk" in said
        assert "let-me-in" not in said
        served.running.interrupt(signal.SIGTERM)
        assert served.running.ended() == 0


def test_an_invalid_database_address_ends_the_receiver(home: Path):
    """Lost: spans pile up on disk for a database that can never be found."""
    done = processes.run(home, "serve", "--port", str(free_port()), **{PREFIX + "DATABASE_URL": "mysql://x/y"})
    has_line(done, PREFIX + "DATABASE_URL is not a PostgreSQL address")
    assert done.code == 3
