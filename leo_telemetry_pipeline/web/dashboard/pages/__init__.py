"""Pages of the dashboard, one module each: its model as a frozen dataclass, read from the store."""
