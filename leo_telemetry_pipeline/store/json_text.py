"""JSON text that PostgreSQL's jsonb takes.

Belongs here: writing attributes. Does not: which attributes may be kept (redact).
"""

import json

from leo_telemetry_pipeline import redact

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def of(attributes: dict) -> str:
    """Return attributes as JSON, without values that JSON does not have."""
    try:
        return _encode(attributes)
    except (TypeError, ValueError):  # a value that its source should have cleaned
        return _encode(redact.clean_attributes(attributes))
