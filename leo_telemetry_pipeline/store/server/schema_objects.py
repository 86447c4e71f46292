"""The files of ``migrations/sql``: the text of each table, function and view, one whole object per file.

Belongs here: finding and reading them. Does not: running them (migrations).
"""

from pathlib import Path

from leo_telemetry_pipeline.settings import bundled


def names(kind: str) -> list[str]:
    """Return the names of all ``tables``, ``functions`` or ``views``."""
    return sorted(path.stem for path in (_folder() / kind).glob("*.sql"))


def text(name: str) -> str:
    """Return the statements of an object by its kind and name: ``functions/reap_telemetry_runs``."""
    return (_folder() / f"{name}.sql").read_text(encoding="utf-8")


def _folder() -> Path:
    return bundled("migrations") / "sql"
