"""Claude Code's hooks: their commands, their installation, the file of a session.

Does not belong here: spans from their notes (sources.claude).
"""
