"""Connections: which one is closed to make room for another."""

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.web import connections
from leo_telemetry_pipeline.web.connections import Connections, room_for


class Line:
    """Connection that remembers that it was closed."""

    def __init__(self) -> None:
        self.ended = False

    def close_idle(self) -> None:
        self.ended = True


def opened(most: int, count: int) -> tuple[Connections, list[Line]]:
    """Return connections with ``count`` of them open."""
    pool, lines = Connections(most), [Line() for _ in range(count)]
    assert [pool.opened(line) for line in lines] == [True] * count
    return pool, lines


def test_the_longest_idle_connection_makes_room():
    """Lost: new clients, while others hold idle connections."""
    pool, lines = opened(3, 3)
    pool.set_idle(lines[0], False)
    pool.set_idle(lines[1], False)
    pool.set_idle(lines[0], True)
    assert pool.opened(Line()) is False
    assert [line.ended for line in lines] == [False, False, True]
    assert pool.opened(Line()) is False
    assert [line.ended for line in lines] == [True, False, True]


def test_busy_connections_are_not_closed():
    """Lost: a request in progress is cut off for the sake of a new client."""
    pool, lines = opened(2, 2)
    for line in lines:
        pool.set_idle(line, False)
    assert pool.opened(Line()) is None
    assert not any(line.ended for line in lines)
    pool.closed(lines[0])
    assert pool.opened(Line()) is True


def test_idle_connections_keep_their_order_and_closed_ones_do_not_return():
    """Lost: the longest idle connection seems recently used."""
    pool, lines = opened(2, 2)
    pool.set_idle(lines[1], True)
    pool.set_idle(lines[0], True)
    pool.opened(Line())
    assert lines[0].ended
    pool.set_idle(lines[0], True)
    pool.opened(Line())
    assert lines[1].ended
    assert len(pool) == 2


@given(st.integers(1, 5), st.lists(st.tuples(st.sampled_from(["open", "busy", "idle", "close"]), st.integers(0, 9))))
def test_the_number_of_connections_never_exceeds_the_limit(most: int, steps: list[tuple[str, int]]):
    """Lost: the process runs out of file descriptors."""
    pool, lines = Connections(most), []
    for step, number in steps:
        if step == "open":
            lines.append(Line())
            if pool.opened(lines[-1]) is None:
                lines.pop()
        elif lines:
            line = lines[number % len(lines)]
            if step == "close" or line.ended:
                pool.closed(line)
                lines.remove(line)
            else:
                pool.set_idle(line, step == "idle")
        assert len(pool) == sum(not line.ended for line in lines) <= most


@pytest.mark.parametrize(
    ("soft", "hard", "clients", "raised", "room"),
    [
        (1024, 4096, 4000, 4096, 2048),
        (1024, 1 << 20, 4000, 8000, 4000),
        (1 << 20, 1 << 20, 4000, None, 4000),
        (1024, resource.RLIM_INFINITY, 4000, 8000, 4000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 4000, None, 4000),
        (256, 256, 4000, None, 128),
    ],
)
def test_the_limit_respects_the_limit_of_open_files(
    soft: int, hard: int, clients: int, raised: int | None, room: int, monkeypatch: pytest.MonkeyPatch
):
    """Lost: a receiver accepts more clients than it has descriptors for, and has none left for the database."""
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(connections.resource, "setrlimit", lambda _, limits: seen.append(limits))
    assert room_for(clients) == room
    assert seen == ([] if raised is None else [(raised, hard)])


def test_a_limit_that_cannot_be_raised_allows_fewer_clients(monkeypatch: pytest.MonkeyPatch):
    """Lost: the receiver does not start on a system that reports a wrong limit."""

    def refuse(_: int, limits: tuple[int, int]) -> None:
        raise ValueError

    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(connections.resource, "setrlimit", refuse)
    assert room_for(4000) == 128
