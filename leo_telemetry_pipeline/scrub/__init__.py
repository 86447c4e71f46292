r"""Secret scrubber: finds secrets in text and removes them.

Belongs here: the public functions, used for every text that is stored or shown.
Does not: which attributes may be kept at all, or how long a text may be (redact).
Imported by the measured program, so regular expressions are compiled for the first text that needs them.
"""

from leo_telemetry_pipeline.scrub.names import LONG, MARK, names_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from leo_telemetry_pipeline.scrub.tools import Tools

__all__ = ["LONG", "MARK", "is_suspicious", "names_secret", "scrub"]

_tools: "Tools | None" = None


def scrub(text: str, *, keep_emails: bool = False) -> str:
    """Return the text with each secret replaced by ``[redacted]``; the same object if there is none."""
    tools = _tools or _make_tools()
    for _ in range(3):  # Removing a secret may make the text around it look like one.
        before, text = text, tools.once(text, keep_emails)
        if before == text:
            return before
    return text


def is_suspicious(text: str) -> bool:
    """Return whether the text has any secret's marker; a text without one, shorter than LONG, holds no secret."""
    return (_tools or _make_tools()).marker(text.lower()) is not None


def _make_tools() -> "Tools":
    global _tools
    from leo_telemetry_pipeline.scrub.tools import Tools

    _tools = Tools()
    return _tools
