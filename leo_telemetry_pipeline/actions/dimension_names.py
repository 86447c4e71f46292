"""Names of dimensions as people write them.

Belongs here: parsing a name. Does not: looking one up (cli.dimensions, web).
"""

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.errors import UserError


def parse(word: str) -> Dimension:
    """Parse ``TYPE:KEY``; the key may contain colons. Raises UserError."""
    dimension_type, _, key = word.partition(":")
    if not dimension_type or not key:
        raise UserError(f"{word!r} is not a dimension: write its type and key, such as gate:GATE_PRD_REQUIRED")
    return dimension_type, key
