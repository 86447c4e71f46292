"""Redaction: makes any span safe to store and read, in the same way for every source.

Belongs here: fitting values to the columns, removing secrets, and an allow-list for attributes of other
instrumentation.
Does not: what a secret looks like (scrub), whether values are a valid span (span), how it is stored (store).
Imported by the measured program, so it imports nothing slow.
"""

from leo_telemetry_pipeline.redact.policy import Policy
from leo_telemetry_pipeline.redact.texts import HASH, MAX_TEXT, REACH, clean_text, flat, name, shown, text
from leo_telemetry_pipeline.redact.values import (
    MAX_DEPTH,
    MAX_KEY,
    MAX_NAME,
    MAX_VALUES,
    clean,
    clean_attributes,
    is_identity,
)

__all__ = [
    "HASH",
    "MAX_DEPTH",
    "MAX_KEY",
    "MAX_NAME",
    "MAX_TEXT",
    "MAX_VALUES",
    "REACH",
    "Policy",
    "clean",
    "clean_attributes",
    "clean_text",
    "flat",
    "is_identity",
    "name",
    "shown",
    "text",
]
