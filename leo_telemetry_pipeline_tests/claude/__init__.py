"""The real Claude Code against a local fake of its API, so that both its input and its actions are known."""
