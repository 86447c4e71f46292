"""The real Claude Code against a local fake of its API: what it was told to do, and what it did, both known."""
