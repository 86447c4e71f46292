"""Quarantined lines: their text is kept without secrets."""

import json
import uuid
from pathlib import Path

import pytest

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.sources.files import reader
from leo_telemetry_pipeline_tests.secrets_corpus import PLAIN, SECRETS
from leo_telemetry_pipeline_tests.unit.redact.examples import EVERY_KIND


@EVERY_KIND
def test_no_secret_reaches_the_quarantine(kind: str, tmp_path: Path):
    """Lost: everybody who may read the quarantine sees secrets of bad lines."""
    secret = SECRETS[kind]
    row = {"trace_id": str(uuid.UUID(int=1)), "span_id": str(uuid.UUID(int=2)), "span_type": "gate", "start_time_ms": 1}
    lines = [
        json.dumps({**row, "attributes": {"note": secret}}),
        json.dumps({**row, "span_name": "G", "trace_id": secret}),
        json.dumps({**row, "span_name": "G", "start_time_ms": "x" * 50 + " " + secret}),
        json.dumps({**row, "span_name": "G", "span_type": "+" + secret}),
        json.dumps(secret),
        "no json " + json.dumps(secret),
        " " * 1_985 + secret.replace("\n", r"\n") + " x" * 5_000,
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(lines) + "\n")
    bad = list(reader.read(tmp_path / "x.jsonl"))
    assert [type(each) for each in bad] == [reader.BadLine] * len(lines)
    for each in bad:
        assert isinstance(each, reader.BadLine)
        kept = each.reason + each.text
        for written in (PLAIN[kind], json.dumps(PLAIN[kind])[1:-1]):
            assert written not in kept


def test_the_header_of_a_wrong_file_is_shown_without_secrets(tmp_path: Path):
    """Lost: after the import of a wrong file, secrets are on the terminal and in its logs."""
    (tmp_path / "x.csv").write_text("trace_id,password=hunter2,c\n1,2,3\n")
    with pytest.raises(UserError) as error:
        list(reader.read(tmp_path / "x.csv"))
    assert "hunter2" not in error.value.message
