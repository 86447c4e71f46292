"""Large requests, and several at once: stored in parts or together, each with its own answer."""

import asyncio
import json
import time
from contextlib import closing

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.spool import spool
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import execute, one
from leo_telemetry_pipeline_tests.receiver_client import COUNT, JSON, Client, Talk, as_json, close_database, until
from leo_telemetry_pipeline_tests.servers import Server


def test_requests_that_come_together_all_arrive(talk: Talk, db: Database):
    """Lost: spans of one program because another one exports at the same moment."""

    async def say(client: Client) -> None:
        answers = await asyncio.gather(*(client.post(as_json(100 * n, 50)) for n in range(1, 21)))
        assert {answer.status for answer in answers} == {200}
        assert one(db, COUNT) == 1000

    talk(say)


def large(count: int) -> bytes:
    """Return a request that is stored in several parts, of plain words, which are fast to scan for secrets."""
    given = [{"key": f"leo.{key}", "value": {"stringValue": "much " * 20}} for key in range(10, 60)]
    return as_json(1000, count, attributes=given)


def test_a_large_request_is_stored_whole_in_several_transactions(talk: Talk, db: Database):
    """Lost: requests that do not fit into memory are refused, with an answer that exporters ignore."""
    body = large(2000)

    async def say(client: Client) -> None:
        answer = await client.post(body)
        assert (answer.status, answer.body) == (200, b"{}")
        assert one(db, COUNT) == 2000
        assert one(db, "SELECT count(DISTINCT xmin::text) FROM workflow_trace_log") > 2
        assert (await client.post(body)).status == 200
        assert one(db, COUNT) == 2000
        assert await client.number("spans_new_total") == 2000
        assert await client.number("spans_rejected_total") == 0

    talk(say)


def test_the_answer_to_a_broken_large_request_says_what_is_stored(talk: Talk, db: Database):
    """Lost: half of a refused request is in the table, and nobody knows which half."""
    body = large(2000)
    at = body.rindex(b'"stringValue"')

    async def say(client: Client) -> None:
        assert (await client.post(body[:at] + b'"stringValue', JSON)).status == 400
        assert one(db, COUNT) == 0
        answer = await client.post(body[:at] + b'"stringVal":tru,' + body[at:])
        assert answer.status == 400
        stored = one(db, COUNT)
        assert 0 < stored < 2000
        assert f"{stored} span(s) before that are stored" in answer.body.decode()

    talk(say)


def test_a_part_that_cannot_be_kept_is_asked_for_again_and_nothing_is_stored_twice(
    talk: Talk, settings: Settings, server: Server, target: Target
):
    """Lost: the rest of a batch whose first parts were stored before the disk was full."""
    settings.spool_bytes = 9 << 20
    body = large(2500)

    async def say(client: Client) -> None:
        close_database(server, target, closed=True)
        answer = await client.post(body)
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        # Parts on disk do no harm: they are recognized when the request comes again.
        assert await client.number("spans_spooled_total") > 0
        close_database(server, target, closed=False)
        give_up = time.monotonic() + 60
        while (await client.post(body)).status != 200:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.5)
        await until(lambda: spool.usage(spool.folder_of(str(settings.home)))[0] == 0)
        with closing(Database(target)) as db:
            assert one(db, COUNT) == 2500

    talk(say)


def test_requests_that_wait_are_stored_together_and_each_has_its_own_answer(talk: Talk, db: Database):
    """Lost: a client gets the verdict on another client's spans."""
    execute(db, "ALTER TABLE workflow_trace_log ADD CONSTRAINT no_poison CHECK (span_name <> 'poison')")
    good, bad = [as_json(100 * n, 5) for n in range(1, 20)], as_json(5000, 5).replace(b'"work"', b'"poison"', 2)

    async def say(client: Client) -> None:
        answers = await asyncio.gather(
            client.post(bad), *map(client.post, good), client.post(b"{"), client.post(as_json(9000, 2, name=""))
        )
        assert [answer.status for answer in answers] == [200] * 20 + [400, 200]
        partial = [json.loads(answer.body).get("partialSuccess", {}).get("rejectedSpans") for answer in answers]
        assert partial == ["2", *[None] * 20, "2"]
        assert one(db, COUNT) == 3 + 19 * 5
        assert one(db, "SELECT count(DISTINCT xmin::text) FROM workflow_trace_log") < 12
        assert await client.number("spans_new_total") == 3 + 19 * 5
        assert await client.number("spans_accepted_total") == 3 + 19 * 5
        assert await client.number("spans_rejected_total") == 4

    talk(say)


def test_small_requests_do_not_wait_for_all_of_a_large_one(talk: Talk, db: Database):
    """Lost: all other exporters give up while one Collector sends its batch."""

    async def say(client: Client) -> None:
        order: list[str] = []

        async def post(name: str, body: bytes) -> None:
            assert (await client.post(body)).status == 200
            order.append(name)

        sending = asyncio.ensure_future(post("large", large(2500)))
        await until(lambda: one(db, COUNT) > 0)
        await post("small", as_json(1, 1))
        await sending
        assert order == ["small", "large"]
        assert one(db, COUNT) == 2501

    talk(say)
