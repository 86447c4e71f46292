"""Names that several services, or client and server, share, and the dimensions that are judged instead.

Belongs here: statements on ``telemetry_shared_names``, and which dimensions are judged in their place.
Does not: deciding (history.name_sharing), judging.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg2.extensions
from psycopg2.extras import execute_values

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.store.server.database import Database


@dataclass(frozen=True)
class SharedNames:
    """The attribute that tells the spans of each shared name apart; ``configured``: those with a threshold."""

    attributes: Mapping[Dimension, str]
    configured: frozenset[Dimension] = frozenset()

    @property
    def types(self) -> list[str]:
        """The dimension types that are judged instead."""
        return sorted({f"{span_type}+{attribute}" for (span_type, _), attribute in self.attributes.items()})

    def is_replaced(self, dimension: Dimension) -> bool:
        """Return whether other dimensions are judged instead of this one, and no threshold is configured for it."""
        return dimension in self.attributes and dimension not in self.configured

    def is_part(self, dimension: Dimension) -> bool:
        """Return whether a dimension, of one of ``types``, is judged instead of another one."""
        span_type, _, attribute = dimension[0].partition("+")
        return any(self.attributes.get((span_type, dimension[1][:end])) == attribute for end in _colons(dimension[1]))


def _colons(text: str) -> Iterable[int]:
    return (place for place, character in enumerate(text) if character == ":")


def of(database: Database) -> SharedNames:
    """Return all shared names."""
    rows = database.rows(
        "SELECT s.span_type, s.span_name, s.attribute, EXISTS (SELECT FROM telemetry_thresholds AS t"
        " WHERE (t.dimension_type = s.span_type AND t.dimension_key = s.span_name) OR (t.dimension_key IS NULL"
        " AND t.dimension_type IN (s.span_type, 'global') AND t.baseline_p50_ms IS NOT NULL))"
        " FROM telemetry_shared_names AS s"
    )
    return SharedNames(
        {(span_type, name): attribute for span_type, name, attribute, _ in rows},
        frozenset((span_type, name) for span_type, name, _, is_configured in rows if is_configured),
    )


def put(cursor: psycopg2.extensions.cursor, found: Mapping[Dimension, str]) -> None:
    """Add names with the attribute that tells their spans apart; a name that is known keeps its attribute."""
    execute_values(
        cursor,
        "INSERT INTO telemetry_shared_names (span_type, span_name, attribute) VALUES %s ON CONFLICT DO NOTHING",
        [(*name, attribute) for name, attribute in found.items()],
    )
