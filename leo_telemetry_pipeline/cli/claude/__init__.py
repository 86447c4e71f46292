"""Claude Code hooks: their commands and installation.

Does not belong here: assembling spans from their notes (sources.claude).
"""
