"""Sources of spans other than the trace API: files, OTLP, Claude Code.

Belongs here: one file or folder per source. Does not: storing (store), buffering on disk (spool), the trace API
(tracing).
"""
