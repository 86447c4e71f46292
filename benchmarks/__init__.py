"""Budgets of the design, one script each (``make bench``), and acceptance trials (``make accept``)."""
