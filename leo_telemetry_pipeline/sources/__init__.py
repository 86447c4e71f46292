"""Everything else that becomes a Span: files, OTLP, Claude Code. Imports no other source of spans, no disk, no database.

Belongs here: one file or folder per source. Does not: storing (store), waiting on disk (spool), the trace API
(tracing).
"""
