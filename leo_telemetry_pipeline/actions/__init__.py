"""Consequences of findings: items, resolutions, threshold changes. Decisions are pure; the store writes them."""
