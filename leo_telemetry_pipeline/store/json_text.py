"""JSON text for PostgreSQL's jsonb.

Belongs here: encoding attributes. Does not: which attributes may be kept (redact).
"""

import json

from leo_telemetry_pipeline import redact

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def of(attributes: dict) -> str:
    """Return attributes as JSON, cleaned of values that JSON does not allow."""
    try:
        return _encode(attributes)
    except (TypeError, ValueError):  # the source should have cleaned the value
        return _encode(redact.clean_attributes(attributes))
