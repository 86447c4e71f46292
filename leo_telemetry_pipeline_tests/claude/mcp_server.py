"""An MCP server on stdin and stdout with one tool, `lookup`: it leaves a mark and takes as long as requested.

Claude Code runs it as a script, so it imports nothing of ours.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

_ARGUMENTS = {"seconds": {"type": "number"}, "fail": {"type": "boolean"}, "mark": {"type": "string"}}
_SCHEMA = {"type": "object", "properties": _ARGUMENTS}
_TOOL = {"name": "lookup", "description": "Look something up.", "inputSchema": _SCHEMA}


def answer(method: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
    """Return the result of a request, None if the method is unknown."""
    if method == "initialize":
        version = parameters.get("protocolVersion", "2025-06-18")
        name = {"name": "shop", "version": "1"}
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": name}
    if method == "tools/list":
        return {"tools": [_TOOL]}
    if method == "tools/call":
        arguments = parameters.get("arguments") or {}
        if "mark" in arguments:
            Path(arguments["mark"]).touch()
        time.sleep(arguments.get("seconds", 0))
        return {"content": [{"type": "text", "text": "found"}], "isError": bool(arguments.get("fail"))}
    return {} if method == "ping" else None


def main() -> None:
    """Answer each request until stdin ends."""
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request:
            continue
        result = answer(request["method"], request.get("params") or {})
        outcome = {"error": {"code": -32601, "message": "unknown"}} if result is None else {"result": result}
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **outcome}), flush=True)


if __name__ == "__main__":
    main()
