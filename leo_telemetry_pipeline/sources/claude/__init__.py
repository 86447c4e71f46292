"""Claude Code, measured by its hooks and by its own OpenTelemetry records, becomes spans.

Each prompt, tool and sub-agent is one span, with the same id by both ways.
Belongs here: notes of hook events (hook_notes) and of OpenTelemetry records (otel_notes, otlp_logs), the ids of spans
(ids), sorting the notes of a session (evidence, runs) and making spans of them (assembler).
Does not: the file that a session's notes lie in (cli.claude.hook_spans, web.claude) or other instrumentation (otlp).
"""
