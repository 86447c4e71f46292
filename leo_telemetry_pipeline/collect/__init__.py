"""An operation becomes a Span here, wherever it ran: in this program, in a file, in another language.

Knows Span, redact and settings; nothing of databases, analyses or Dagster.
"""
