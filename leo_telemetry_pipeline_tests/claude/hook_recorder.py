"""A hook that appends the event on stdin, the time and the environment to the file that is its argument.

Run as a script by Claude Code, so it imports nothing of ours.
"""

import json
import os
import sys
import time


def main() -> None:
    """Write one line."""
    at = time.time()
    event = json.loads(sys.stdin.read())
    variables = {name: value for name, value in os.environ.items() if name.startswith(("CLAUDE", "TRACE", "OTEL"))}
    line = json.dumps({"at": at, "event": event, "environment": variables})
    with open(sys.argv[1], "a", encoding="utf-8") as file:  # noqa: PTH123  # pathlib takes as long as all the rest
        file.write(line + "\n")


if __name__ == "__main__":
    main()
