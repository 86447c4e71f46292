"""Attribute policy: which keys are kept, depending on who chose them."""

import json
import uuid
from pathlib import Path

import pytest

from leo_telemetry_pipeline.analysis.span_measures import MEASURES, Measure
from leo_telemetry_pipeline.redact import Policy, clean_attributes
from leo_telemetry_pipeline.sources.rows import span_from_row
from leo_telemetry_pipeline_tests.secrets_corpus import PLAIN, SECRETS

DEEP = {"request": {"user": {"name": "Jane Doe"}, "user_id": "u-77", "n": 1}, "steps": [[{"userId": "u"}, 5]]}


def test_identities_are_removed_at_every_depth():
    """Lost: the privacy of the agent's user."""
    for keep in (Policy().own, Policy(("request", "steps")).foreign):
        removed: dict[str, int] = {}
        assert keep(DEEP, removed) == {"request": {"n": 1}, "steps": [[{}, 5]]}
        assert removed == {"request.user": 1, "request.user_id": 1, "steps.userId": 1}
    assert Policy(keep_identity=True).own(DEEP, {}) == DEEP


@pytest.mark.parametrize(
    "key", ["userId", "user-id", "UserEmail", "accountUuid", "account.id", "organizationId", "USER_ID", "user.x.y"]
)
def test_identities_are_removed_in_every_spelling(key: str):
    """Lost: the privacy of the agent's user, once a library spells keys differently."""
    removed: dict[str, int] = {}
    assert Policy().own({key: "x", "user_prompt_length": 6, "user_agent.name": "curl"}, removed) == {
        "user_prompt_length": 6,
        "user_agent.name": "curl",
    }
    assert removed == {key: 1}


def test_the_search_for_identities_ends_in_an_object_that_contains_itself():
    """Lost: a program that attaches such an object would hang."""
    endless: dict = {"user": 1}
    endless["self"] = [endless] * 50
    assert len(json.dumps(clean_attributes(Policy().own(endless, {})))) < 1_000_000


def test_only_identities_are_removed_from_a_row_and_they_are_counted(tmp_path: Path):
    """Lost: attributes that a person chose to import, or the privacy of the agent's user."""
    row = {"trace_id": str(uuid.UUID(int=1)), "span_id": str(uuid.UUID(int=2)), "span_type": "gate", "span_name": "G"}
    row |= {"start_time_ms": 1, "anything": "x", "attributes": {"user.id": "x", "prompt": "hi", "password": "hunter2"}}
    removed: dict[str, int] = {}
    made = span_from_row(row, removed=removed)
    assert made.attributes == {"anything": "x", "prompt": "hi", "password": "[redacted]"}
    assert removed == {"user.id": 1}
    assert span_from_row(row, policy=Policy(keep_identity=True)).attributes["user.id"] == "x"


FOREIGN = {
    "service.name": "shop",
    "http.request.method": "GET",
    "k8s.pod.name": "p",
    "gen_ai.usage.input_tokens": 3,
    "gen_ai.request.model": "m",
    "queue_ms": 7,
    "gate_score": 90,
    "session.id": "s",
}
REMOVED = {
    "gen_ai.prompt.0.content": "hi",
    "gen_ai.input.messages": "hi",
    "gen_ai.tool.call.arguments": "{}",
    "db.statement": "SELECT 1",
    "user_prompt": "hi",
    "code.file.path": "/x",
    "k8s.pod.label.owner": "x",
    "notes_ms": "hi",
    "user.id": "x",
    "enduser.id": "x",
}


def test_from_other_instrumentation_only_harmless_keys_are_kept_and_the_rest_is_counted():
    """Lost: prompts, commands and paths that exporters add by themselves are stored; or a key is silently missing."""
    removed: dict[str, int] = {}
    policy = Policy()
    assert policy.foreign({**FOREIGN, **REMOVED}, removed) == FOREIGN
    assert policy.foreign(FOREIGN, removed) == FOREIGN
    assert policy.foreign({"user_prompt": "again"}, removed) == {}
    assert removed == {**dict.fromkeys(REMOVED, 1), "user_prompt": 2}


# Attributes that Claude Code 2.1.332 sends, and those of OpenTelemetry's conventions for model requests.
OF_A_REQUEST = {
    "ttft_ms": 99,
    "input_tokens": 1000,
    "output_tokens": 50,
    "cache_read_tokens": 10,
    "cache_creation_tokens": 5,
    "effort": "medium",
    "attempt": 1,
    "stop_reason": "end_turn",
    "model": "claude-opus-5-5",
    "speed": "normal",
    "query_source_safe": "sdk",
    "success": True,
    "gen_ai.response.time_to_first_chunk": 0.5,
    "gen_ai.usage.output_tokens": 50,
    "gen_ai.usage.cache_read.input_tokens": 10,
}


def test_attributes_that_explain_a_slow_request_to_a_model_are_kept():
    """Lost: time to first token and token counts would be dropped before storage."""
    assert Policy().foreign({**OF_A_REQUEST, "user_prompt": "hi", "ttft_ms_note": "hi"}, {}) == OF_A_REQUEST


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_every_measure_that_is_shown_is_kept(measure: Measure):
    """Lost: a column would stay empty forever."""
    attributes = {name: 1 for name, _ in measure.attributes}
    assert Policy().foreign(attributes, {}) == attributes


def test_a_setting_keeps_more_keys_by_name_or_prefix():
    """Lost: attributes of a user's own instrumentation, with no way to keep them."""
    policy = Policy(("db.statement", "shop.*"))
    attributes = {"db.statement": "SELECT 1", "shop.cart": 1, "shopping": 1, "user.id": "x"}
    assert policy.foreign(attributes, {}) == {"db.statement": "SELECT 1", "shop.cart": 1}


def test_identities_are_kept_only_when_switched_on():
    """Lost: the privacy of the agent's user."""
    identities = {
        "user.id": "x",
        "User.Email": "a@b.example",
        "organization.id": "x",
        "account_uuid": "x",
        "email": "x",
    }
    chosen = {"user_prompt_length": 6, "anything": "x"}
    removed: dict[str, int] = {}
    assert Policy().own({**identities, **chosen}, removed) == chosen
    assert removed == dict.fromkeys(identities, 1)
    for kept in (Policy(keep_identity=True).own, Policy(keep_identity=True).foreign):
        assert clean_attributes(kept(identities, removed)) == identities
    assert removed == dict.fromkeys(identities, 1)


def test_names_of_removed_keys_are_short_few_and_without_secrets():
    """Lost: a table would grow with every new key."""
    removed: dict[str, int] = {}
    Policy().foreign({**{f"key {number}": 1 for number in range(500)}, "k" * 500: 1}, removed)
    assert (len(removed), removed["…"], sum(removed.values())) == (201, 301, 501)
    Policy().foreign({SECRETS["GitHub personal token"]: 1, "k" * 500: 1}, counted := {})
    assert max(map(len, counted)) == 100
    assert PLAIN["GitHub personal token"] not in json.dumps(counted)
