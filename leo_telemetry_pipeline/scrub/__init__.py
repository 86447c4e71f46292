r"""What a secret looks like in text, and its removal.

Belongs here: the face of it: marks, shapes (kinds) and names of secrets, for every text that is stored or shown.
Does not: which attributes may be kept at all, or how long a text may be (redact).
Imported by the program that is measured, so expressions are compiled with the first text that needs them.
"""

from leo_telemetry_pipeline.scrub.names import LONG, MARK, names_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from leo_telemetry_pipeline.scrub.tools import Tools

__all__ = ["LONG", "MARK", "is_suspicious", "names_secret", "scrub"]

_tools: "Tools | None" = None


def scrub(text: str, *, keep_emails: bool = False) -> str:
    """Return the text with ``[redacted]`` in place of each secret in it; the same object where there is none."""
    tools = _tools or _make_tools()
    for _ in range(3):  # What stands around a secret may look like one as soon as that one is gone.
        before, text = text, tools.once(text, keep_emails)
        if before == text:
            return before
    return text


def is_suspicious(text: str) -> bool:
    """Say whether the text has a marker of any kind; without one, and shorter than LONG, it holds no secret."""
    return (_tools or _make_tools()).marker(text.lower()) is not None


def _make_tools() -> "Tools":
    global _tools
    from leo_telemetry_pipeline.scrub.tools import Tools

    _tools = Tools()
    return _tools
