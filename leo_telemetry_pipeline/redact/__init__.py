"""What may be stored of a span, in one place, the same for every source.

Belongs here: turning whatever a program put into a span into what the columns can hold and anybody who reads
them may see: no secrets, and of what other instrumentation adds only what is known to be harmless.
Does not: what a secret looks like (scrub), whether values are a span at all (span), how it is stored (store).
Imported by the program that is measured, so it uses nothing that costs time to import.
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
