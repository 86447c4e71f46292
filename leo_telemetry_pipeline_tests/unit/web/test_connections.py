"""Which connection goes when there is no room for another one."""

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.web import connections
from leo_telemetry_pipeline.web.connections import Connections, room_for


class Line:
    """A connection that remembers that it was told to end."""

    def __init__(self) -> None:
        self.ended = False

    def close_idle(self) -> None:
        self.ended = True


def opened(most: int, count: int) -> tuple[Connections, list[Line]]:
    """Return connections of which so many are open."""
    house, lines = Connections(most), [Line() for _ in range(count)]
    assert [house.opened(line) for line in lines] == [True] * count
    return house, lines


def test_the_longest_idle_makes_room():
    """Lost: everything of the clients that came last, while others hold a connection that they do not use."""
    house, lines = opened(3, 3)
    house.set_idle(lines[0], False)
    house.set_idle(lines[1], False)
    house.set_idle(lines[0], True)
    assert house.opened(Line()) is False
    assert [line.ended for line in lines] == [False, False, True]
    assert house.opened(Line()) is False
    assert [line.ended for line in lines] == [True, False, True]


def test_nobody_who_is_busy_goes():
    """Lost: a request in the middle of its body, for a client that just came."""
    house, lines = opened(2, 2)
    for line in lines:
        house.set_idle(line, False)
    assert house.opened(Line()) is None
    assert not any(line.ended for line in lines)
    house.closed(lines[0])
    assert house.opened(Line()) is True


def test_what_stays_idle_keeps_its_place_and_what_left_does_not_come_back():
    """Lost: the connection that is idle for longest looks as if it had just been used."""
    house, lines = opened(2, 2)
    house.set_idle(lines[1], True)
    house.set_idle(lines[0], True)
    house.opened(Line())
    assert lines[0].ended
    house.set_idle(lines[0], True)
    house.opened(Line())
    assert lines[1].ended
    assert len(house) == 2


@given(st.integers(1, 5), st.lists(st.tuples(st.sampled_from(["open", "busy", "idle", "close"]), st.integers(0, 9))))
def test_there_are_never_more_than_the_limit(most: int, steps: list[tuple[str, int]]):
    """Lost: the process runs out of files."""
    house, lines = Connections(most), []
    for step, number in steps:
        if step == "open":
            lines.append(Line())
            if house.opened(lines[-1]) is None:
                lines.pop()
        elif lines:
            line = lines[number % len(lines)]
            if step == "close" or line.ended:
                house.closed(line)
                lines.remove(line)
            else:
                house.set_idle(line, step == "idle")
        assert len(house) == sum(not line.ended for line in lines) <= most


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
def test_the_limit_fits_into_what_the_process_may_open(
    soft: int, hard: int, clients: int, raised: int | None, room: int, monkeypatch: pytest.MonkeyPatch
):
    """Lost: a receiver that accepts what it cannot open, and has no file left for the database."""
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(connections.resource, "setrlimit", lambda _, limits: seen.append(limits))
    assert room_for(clients) == room
    assert seen == ([] if raised is None else [(raised, hard)])


def test_where_the_limit_cannot_be_raised_fewer_clients_fit(monkeypatch: pytest.MonkeyPatch):
    """Lost: the receiver does not start on a system that has a lower limit than it says."""

    def refuse(_: int, limits: tuple[int, int]) -> None:
        raise ValueError

    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(connections.resource, "setrlimit", refuse)
    assert room_for(4000) == 128
