"""Name of a dimension, for all that reads, judges or shows one.

Belongs here: the type alone. Does not: which dimension types there are, and their SQL (store.dimensions).
"""

# Type and key: ("gate", "GATE_PRD_REQUIRED"), ("gate+sd_type", "GATE_PRD_REQUIRED:infrastructure").
Dimension = tuple[str, str]
