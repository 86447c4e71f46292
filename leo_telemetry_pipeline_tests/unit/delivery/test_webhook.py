"""Webhooks: what is refused before and during a call, and that refusals name no secret."""

import json
import socket
import threading
from contextlib import suppress
from ipaddress import ip_network

import pytest

from leo_telemetry_pipeline.delivery.reachable import Refused, Rules
from leo_telemetry_pipeline.delivery.webhook import Failed, Webhook, parse
from leo_telemetry_pipeline_tests.http_servers import OK, UNAVAILABLE, Answer, web_server

LOCAL = Rules(networks=(ip_network("127.0.0.0/8"),))
SECRET = "s3cr3t-path"


def local(port: int, host: str = "127.0.0.1", rules: Rules = LOCAL, longest_s: float = 10.0) -> Webhook:
    found = parse(f"webhook+http://{host}:{port}/{SECRET}", rules)
    return Webhook(found.url, found.host, found.port, found.rules, longest_s)


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name resolve to these addresses."""

    def getaddrinfo(host: str, port: int, *more: object, **options: object) -> list[tuple]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_a_document_arrives_with_its_idempotency_key():
    """Lost: a receiver cannot tell a repeated alert from a new one."""
    with web_server() as server:
        local(server.port).post({"title": "caf\u00e9"}, "a:1:new")
    [request] = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert f"POST /{SECRET} HTTP/1.1".encode() in head
    assert b"Idempotency-Key: a:1:new" in head
    assert json.loads(body) == {"title": "caf\u00e9"}


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("webhook+https://other.example.net/x", "not in LEO_TELEMETRY_ALERT_HOSTS"),
        ("webhook+https://hooks.example.com.evil.net/x", "not in LEO_TELEMETRY_ALERT_HOSTS"),
        ("webhook+ftp://hooks.example.com/x", "the scheme is not one of"),
        ("file:///etc/passwd", "the scheme is not one of"),
        ("webhook+https:///x", "names no host"),
        ("webhook+https://ann:pw@hooks.example.com/x", "user names are not supported"),
        ("webhook+https://hooks.example.com@other.example.net/x", "user names are not supported"),
        ("webhook+https://hooks.example.com:x@other.example.net/x", "user names are not supported"),
        ("webhook+https://other.example.net/x#@hooks.example.com", "not in LEO_TELEMETRY_ALERT_HOSTS"),
        ("webhook+https://other.example.net/?hooks.example.com", "not in LEO_TELEMETRY_ALERT_HOSTS"),
        ("webhook+https://hooks.example.com\\@other.example.net/x", "user names are not supported"),
        ("webhook+https://hooks.exampl\u0435.com/x", "percent-encoded"),
        ("webhook+https://hooks.example.com/x\r\nX-Evil: 1", "percent-encoded"),
        ("webhook+https://hooks.example.com/a b", "percent-encoded"),
        ("webhook+https://hooks.example.com:99999/", "not a URL"),
    ],
)
def test_a_url_off_the_list_is_refused_without_the_network(url: str, why: str):
    """Lost: alerts, and the names in them, go to a host that nobody approved."""
    with pytest.raises(Refused, match=why):
        parse(url, Rules(hosts=("hooks.example.com", "*.example.org")))


def test_hosts_on_the_list_are_accepted():
    """Lost: the approved host, because of capital letters or a pattern."""
    for host in ("hooks.example.com", "HOOKS.example.com", "a.b.example.org"):
        parse(f"webhook+https://{host}/x", Rules(hosts=("hooks.example.com", "*.example.org")))


INSIDE = (
    "169.254.169.254", "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]",
    "[::]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2606:4700::5efe:7f00:1]", "[fec0::1]",
    "[fe80::1%25eth0]", "[2001:0:7f00:1::]", "192.0.0.8", "198.18.0.1", "240.0.0.1", "255.255.255.255", "[ff02::1]",
)  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside_a_network_are_refused(address: str):
    """Lost: a URL reads the credentials of a cloud machine, or calls a service behind the firewall."""
    with pytest.raises(Refused, match="not a public address"):
        parse(f"webhook+https://{address}/latest/meta-data/", Rules())


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "localhost", "LocalHost"])
def test_other_spellings_of_an_address_inside_are_refused(host: str):
    """Lost: a number that every resolver understands leads to a service on this machine."""
    with pytest.raises(Refused, match="not a public address"):
        parse(f"webhook+https://{host}/x", Rules()).post({}, "k")


@pytest.mark.parametrize("address", ["93.184.216.34", "[2606:2800:220:1::1]", "[::ffff:93.184.216.34]"])
def test_public_addresses_are_accepted(address: str):
    """Lost: every receiver, since the rules refuse too much."""
    parse(f"webhook+https://{address}/x", Rules())


@pytest.mark.parametrize("answer", [["169.254.169.254"], ["93.184.216.34", "10.0.0.1"]])
def test_a_name_that_resolves_to_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch, answer: list[str]):
    """Lost: a name server decides which machine behind the firewall is called."""
    resolving(monkeypatch, *answer)
    webhook = parse("webhook+https://hooks.example.com/x", Rules())
    with pytest.raises(Refused, match="not a public address"):
        webhook.post({}, "k")


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch):
    """Lost: a name that resolves to another address the second time leads inside."""
    with web_server() as server:
        answers = iter([["127.0.0.1"], ["169.254.169.254"]])

        def getaddrinfo(host: str, port: int, *more: object, **options: object) -> list[tuple]:
            if host == "127.0.0.1":
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
            [address] = next(answers)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        local(server.port, "hooks.example.com").post({}, "k")
    [request] = server.requests
    assert f"Host: hooks.example.com:{server.port}".encode() in request
    assert list(answers) == [["169.254.169.254"]]


def test_a_second_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch):
    """Lost: every alert, where a name has an IPv6 address and the network has none."""
    really = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *more: object, **options: object) -> list[tuple]:
        names = ("127.0.0.2", "127.0.0.1") if host == "localhost" else (host,)
        return [entry for name in names for entry in really(name, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with web_server() as server:
        local(server.port, "localhost").post({}, "k")
    assert len(server.requests) == 1


def test_unencrypted_calls_leave_no_private_network(monkeypatch: pytest.MonkeyPatch):
    """Lost: the secret in the URL, and the names, readable on the way."""
    resolving(monkeypatch, "93.184.216.34")
    with pytest.raises(Refused, match="use webhook\\+https"):
        local(80, "hooks.example.com").post({}, "k")


def test_a_redirect_is_not_followed():
    """Lost: an approved host sends the call to one that is not."""
    with web_server() as target:
        moved = f"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:{target.port}/\r\nContent-Length: 0\r\n\r\n".encode()
        with web_server(lambda request, client: client.sendall(moved)) as server, pytest.raises(Refused) as refused:
            local(server.port).post({}, "k")
    assert "redirect" in str(refused.value)
    assert (len(server.requests), target.requests) == (1, [])


def endless(request: bytes, client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    with suppress(OSError):
        while True:
            client.sendall(b"x" * 65536)


def trickling(head: bytes) -> Answer:
    """Answer one byte at a time, without an end."""

    def answer(request: bytes, client: socket.socket) -> None:
        client.sendall(head)
        ended = threading.Event()
        with suppress(OSError):
            while not ended.wait(0.02):
                client.sendall(b"x")

    return answer


def test_an_answer_without_an_end_is_refused():
    """Lost: a receiver fills the memory of the process that delivers all other alerts."""
    with web_server(endless) as server, pytest.raises(Refused, match="more than 64 KB"):
        local(server.port).post({}, "k")


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Slow: ", b""])
def test_an_answer_that_trickles_ends_with_the_time_limit(head: bytes):
    """Lost: one slow receiver stops all alerts, since each byte restarts the time-out of a socket."""
    with web_server(trickling(head)) as server, pytest.raises((Refused, Failed)):
        local(server.port, longest_s=0.3).post({}, "k")


@pytest.mark.parametrize("answer", [UNAVAILABLE, b"not HTTP\r\n\r\n", b""])
def test_a_failed_call_is_tried_later_and_its_reason_names_no_secret(answer: bytes):
    """Lost: the secret of the URL in the database, in doctor and in logs."""
    with web_server(lambda request, client: client.sendall(answer)) as server, pytest.raises(Failed) as failed:
        local(server.port).post({}, "k")
    assert SECRET not in str(failed.value)


def test_a_receiver_that_is_away_is_tried_later():
    """Lost: the alert of the minute in which a receiver restarts."""
    with web_server() as server:
        pass
    with pytest.raises(Failed):
        local(server.port).post({}, "k")


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch):
    """Lost: a proxy resolves the name again, and connects to what was refused."""
    with web_server() as proxy, web_server(lambda request, client: client.sendall(OK)) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        local(server.port).post({}, "k")
    assert (len(server.requests), proxy.requests) == (1, [])
