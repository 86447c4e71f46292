"""The real Claude Code against a local fake of its API, so that what it was told and what it did are both known."""
