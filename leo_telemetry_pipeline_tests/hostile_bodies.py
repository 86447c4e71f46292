"""Request bodies that no exporter sends: nested too deeply, too many spans, wrong types, or random."""

import gzip
import json
import random
from collections.abc import Iterator

from leo_telemetry_pipeline_tests.receiver_process import (
    JSON,
    PROTOBUF,
    as_json,
    as_protobuf,
    field_head,
    field_of,
    request,
)


def nested_json(depth: int) -> bytes:
    """Return a request with a value nested to a depth."""
    mark = '"MARK"'
    value = '{"arrayValue":{"values":[' * depth + '{"intValue":1}' + "]}}" * depth
    body = json.dumps(request(attributes=[{"key": "leo.deep", "value": "MARK"}]))
    return body.replace(mark, value).encode()


def nested_protobuf(depth: int) -> bytes:
    """Return a request with an AnyValue nested to a depth that protobuf's own classes could not build."""
    innermost, heads, length = field_of(1, b"x"), [], 3
    for number in (1, 5) * depth:
        heads.append(field_head(number, length))
        length += len(heads[-1])
    value = b"".join(reversed(heads)) + innermost
    attribute = field_of(9, field_of(1, b"leo.deep") + field_of(2, value))
    span = field_of(1, bytes(15) + b"\1") + field_of(2, bytes(7) + b"\1") + field_of(5, b"work") + attribute
    return field_of(1, field_of(2, field_of(2, span)))


def many_json(count: int, span: bytes = b"{}") -> bytes:
    """Return a request with ``count`` spans."""
    return b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b",".join([span] * count) + b"]}]}]}"


def many_protobuf(count: int) -> bytes:
    """Return a request with ``count`` empty spans."""
    return field_of(1, field_of(2, b"\x12\x00" * count))


def wrong_types() -> Iterator[bytes]:
    """Yield requests in which each part in turn has a wrong type."""
    wrong: list = [None, True, -1, 1e308, 2**70, "x", "\ud800", [], [[]], [None], {}, {"x": 1}, [1, "x"], "0" * 32]
    whole = request(status={"code": 1}, kind=1, events=[], links=[], parentSpanId="1" * 16)

    def places(part: object) -> Iterator[tuple]:
        items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for key, value in items:
            yield (key,)
            yield from ((key, *rest) for rest in places(value))

    for path in list(places(whole)):
        for value in wrong:
            copy = json.loads(json.dumps(whole))
            holder = copy
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = value
            yield json.dumps(copy).encode()
    yield from (json.dumps(value).encode() for value in wrong)


VALID = (as_json(), as_protobuf(), gzip.compress(as_json()), gzip.compress(as_protobuf()), b"{}", b"")


def edited(chance: random.Random) -> bytes:
    """Return a body with some bytes changed."""
    body = chance.choice(VALID)
    for _ in range(chance.randint(0, 3)):
        at = chance.randint(0, len(body))
        body = body[:at] + chance.randbytes(chance.randint(0, 8)) + body[at + chance.randint(0, 8) :]
    return body


def mostly(chance: random.Random, known: list, letters: str, longest: int) -> str | None:
    """Return a known value nine times in ten, so that the receiver reads most bodies."""
    return chance.choice(known) if chance.randrange(10) else text(chance, letters, longest)


def text(chance: random.Random, letters: str, longest: int) -> str:
    """Return a random text of the given letters."""
    return "".join(chance.choices(letters, k=chance.randint(0, longest)))


NAMES = ["Accept", "Cookie", "User-Agent", "Via", "Forwarded", "TE", "Range", "X-!#$%&'*+.^_`|~0"]
PRINTABLE = "".join(chr(code) for code in range(32, 256) if code != 127)


def drawn(chance: random.Random) -> tuple[bytes, str, str | None, dict[str, str]]:
    """Return body, type, encoding and further headers of a request."""
    body = edited(chance) if chance.randrange(2) else chance.randbytes(chance.randint(0, 300))
    content_type = mostly(chance, [JSON, PROTOBUF], "abc/;= -", 12) or ""
    encoding = mostly(chance, [None, None, "gzip", "identity"], "gzip,x ", 8)
    more = {name: text(chance, PRINTABLE, 20).strip() for name in chance.sample(NAMES, chance.randint(0, 2))}
    return body, content_type, encoding, more
