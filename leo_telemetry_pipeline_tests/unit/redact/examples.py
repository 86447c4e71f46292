"""Spans and texts with secrets, and pieces that make new secrets where they meet."""

import uuid

import pytest
from hypothesis import strategies as st

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline_tests.secrets_corpus import SECRETS

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)


# Texts with secrets, and pieces that make new ones where they meet.
PIECES = st.sampled_from(
    [*SECRETS.values(), "password=", "token: ", '"', "'", "[redacted]", "…", "@", "://", " ", "\\"]
)
SECRET_TEXT = st.lists(PIECES | ANY_TEXT, max_size=6).map("".join)
KEY = st.sampled_from(["password", "max_tokens", "note", "user.email", "value", "key"]) | SECRET_TEXT
SECRET_VALUE = st.recursive(
    SECRET_TEXT | st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=3)
)
EVERY_KIND = pytest.mark.parametrize("kind", SECRETS)


def span(**values) -> Span:
    ids = {"trace_id": str(uuid.UUID(int=1)), "span_id": str(uuid.UUID(int=2))}
    return Span(**{**ids, "span_type": "gate", "span_name": "G", "start_time_ms": 1, **values})
