"""JSON cursor: locates the same values as a JSON parser, without creating objects."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.sources.otlp.json_cursor import MAX_NESTING, Cursor, NotJson

texts = st.sampled_from(["", "a", "key", '"', "\\", '\\"', "}", "[{", "\n", "é", "\ud800"]) | st.text(max_size=5)
plain = st.none() | st.booleans() | st.integers() | st.floats() | texts
# Values as in OTLP, and similar ones: these are skipped in one step.
pairs = st.fixed_dictionaries({"key": texts, "value": st.dictionaries(texts, plain, max_size=2)})
values = st.recursive(
    plain | pairs | st.lists(pairs, max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
spaces = st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :\r\n")])


def parsed(cursor: Cursor) -> dict:
    """Read an object member by member."""
    found = {key: json.loads(bytes(cursor.value()).decode("utf-8")) for key in cursor.members()}
    cursor.finish()
    return found


@given(st.dictionaries(texts, values, max_size=5), spaces, st.sampled_from([None, 1]))
def test_members_are_located_where_a_json_parser_finds_them(
    value: dict, separators: tuple[str, str], indent: int | None
) -> None:
    """Lost: spans end within their neighbours."""
    body = json.dumps(value, separators=separators, indent=indent).encode()
    found, expected = parsed(Cursor(body)), json.loads(body)
    assert json.dumps(found) == json.dumps(expected)


@given(st.lists(values, max_size=5), spaces)
def test_elements_are_located_where_a_json_parser_finds_them(value: list, separators: tuple[str, str]) -> None:
    """Lost: spans end within their neighbours."""
    body = json.dumps(value, separators=separators).encode()
    cursor = Cursor(body)
    found = [json.loads(bytes(cursor.value())) for _ in cursor.elements()]
    cursor.finish()
    assert json.dumps(found) == json.dumps(json.loads(body))


@given(st.dictionaries(texts, values, min_size=1, max_size=3), st.data())
def test_truncation_is_detected(value: dict, data: st.DataObject) -> None:
    """Lost: half a request is answered as if it were complete."""
    body = json.dumps(value).encode()
    with pytest.raises((NotJson, json.JSONDecodeError)):
        parsed(Cursor(body[: data.draw(st.integers(0, len(body) - 1))]))


@pytest.mark.parametrize("mark", [b"[", b'{"a":'])
def test_nesting_is_bounded(mark: bytes) -> None:
    """Lost: a stack overflow ends the process."""
    end = b"]" if mark == b"[" else b"}"
    fits = mark * MAX_NESTING + b"1" + end * MAX_NESTING
    assert bytes(Cursor(fits).value()) == fits
    with pytest.raises(NotJson, match="deeper"):
        Cursor(mark * 2 + fits + end * 2).value()
