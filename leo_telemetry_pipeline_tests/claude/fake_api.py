"""A local fake of the Anthropic API that answers by the plan in the prompt and records what happened.

Belongs here: the HTTP interface and the record of requests. Does not: what a plan is (`plans`), what follows from the
record (`truth`).
"""

import json
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from leo_telemetry_pipeline_tests.claude.plans import AGENT, Plan, Step, last_plan

_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
# Answers to requests without a plan, such as a notification, and to the request for a summary in a compaction.
UNPLANNED = Step("noted", first=0.01, rest=0.01)
COMPACTION = Plan("compaction", (Step("<analysis>-</analysis><summary>nothing</summary>"),))
_JSON = "application/json"


@dataclass(frozen=True)
class Exchange:
    """A request to the model and its answer; times are seconds since the epoch."""

    session: str
    agent: str
    plan: str
    step: int
    attempt: int
    model: str
    received: float
    first_byte: float
    last_byte: float
    status: int
    asked: tuple[str, ...]
    results: tuple[str, ...]
    streamed: bool


@dataclass
class Record:
    """All requests received."""

    exchanges: list[Exchange] = field(default_factory=list)
    others: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    plans: dict[tuple[str, str], Plan] = field(default_factory=dict)
    attempts: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def serving() -> Iterator[tuple[str, Record]]:
    """Run the fake; yield its address and its record."""
    record = Record()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Answering", (_Handler,), {"record": record}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", record
    finally:
        server.shutdown()
        server.server_close()


def _texts(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block.get("text", "") for block in content if block.get("type") == "text")


def where(messages: list[dict[str, Any]]) -> tuple[Plan, int]:
    """Return the plan in force and the index of the step: the number of answers since its prompt."""
    last = _texts(messages[-1]["content"])
    if "<summary>" in last and "<task-notification>" not in last:
        return COMPACTION, 0
    step = 0
    for message in reversed(messages):
        if message["role"] == "assistant":
            step += 1
        elif message["role"] == "user" and (found := last_plan(_texts(message["content"]))):
            return found, step
    return Plan("", ()), 0


def _results(messages: list[dict[str, Any]]) -> tuple[str, ...]:
    found: list[str] = []
    for message in reversed(messages):
        if message["role"] == "assistant":
            break
        content = message["content"] if isinstance(message["content"], list) else []
        found += [block["tool_use_id"] for block in content if block.get("type") == "tool_result"]
    return tuple(found)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # With Nagle's algorithm, the kernel delays small pieces of an answer by 40 ms.
    disable_nagle_algorithm = True
    record: Record

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # what the base class calls it
        """Log nothing: tests read the record."""

    def do_HEAD(self) -> None:
        """Answer that the API is there."""
        self._other(200)

    def do_GET(self) -> None:
        """Answer 404 for other parts of the API."""
        self._other(404)

    def do_POST(self) -> None:
        """Answer as the model."""
        received = time.time()
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.partition("?")[0]
        if path == "/v1/messages":
            self._answer(json.loads(raw), received)
        elif path == "/v1/messages/count_tokens":
            self._send(200, _JSON, json.dumps({"input_tokens": 100}).encode())
        else:
            self._other(404)

    def _other(self, status: int) -> None:
        with self.record.lock:
            self.record.others.append((self.command, self.path))
        self._send(status, _JSON, b"{}")

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _answer(self, request: dict[str, Any], received: float) -> None:
        record = self.record
        plan, number = where(request["messages"])
        step = plan.steps[number] if number < len(plan.steps) else UNPLANNED
        key = plan.name, number
        session = self.headers.get("x-claude-code-session-id", "")
        with record.lock:
            record.plans[session, plan.name] = plan
            record.attempts[session, *key] += 1
            attempt = record.attempts[session, *key]
            record.bodies.append({"at": received, "headers": dict(self.headers), "body": request})
        time.sleep(step.first)
        failed = bool(step.error) and attempt <= step.times
        blocks = _blocks(*key, step, _agent(request["messages"]))
        streamed = bool(request.get("stream")) and not failed
        first_byte = time.time()
        if failed:
            error = {"type": _ERRORS.get(step.error, "api_error"), "message": "as planned"}
            body = {"type": "error", "error": error, "request_id": "req_fake"}
            self._send(step.error, _JSON, json.dumps(body).encode())
        elif streamed:
            self._stream(request["model"], blocks, step)
        else:
            time.sleep(step.rest)
            self._send(200, _JSON, json.dumps(_message(request["model"], blocks, step)).encode())
        exchange = Exchange(
            session=session,
            agent=self.headers.get("x-claude-code-agent-id", ""),
            plan=plan.name,
            step=number,
            attempt=attempt,
            model=request["model"],
            received=received,
            first_byte=first_byte,
            last_byte=time.time(),
            status=step.error if failed else 200,
            asked=tuple(block["id"] for block in blocks if block["type"] == "tool_use" and not failed),
            results=_results(request["messages"]),
            streamed=streamed,
        )
        with record.lock:
            record.exchanges.append(exchange)

    def _stream(self, model: str, blocks: list[dict[str, Any]], step: Step) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("request-id", "req_fake")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        whole = _message(model, blocks, step)
        start = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
        self._event({"type": "message_start", "message": start})
        for index, block in enumerate(blocks):
            # Claude Code runs a tool while it still receives the answer.
            if block["type"] == "tool_use" and blocks[index - 1]["type"] == "text":
                time.sleep(step.rest)
            for event in _block_events(index, block):
                self._event(event)
        if not step.tools:
            time.sleep(step.rest)
        delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        self._event({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 20}})
        self._event({"type": "message_stop"})
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, event: dict[str, Any]) -> None:
        data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


def _agent(messages: list[dict[str, Any]]) -> str:
    found = re.findall(r"agentId: (\w+)", json.dumps(messages))
    return found[-1] if found else ""


def _filled(arguments: dict[str, Any], agent: str) -> dict[str, Any]:
    return {name: agent if value == AGENT else value for name, value in arguments.items()}


def _blocks(name: str, number: int, step: Step, agent: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": step.say}] + [
        {
            "type": "tool_use",
            "id": f"toolu_{name}_{number}_{index}",
            "name": tool.name,
            "input": _filled(tool.arguments, agent),
        }
        for index, tool in enumerate(step.tools)
    ]


def _message(model: str, blocks: list[dict[str, Any]], step: Step) -> dict[str, Any]:
    reason = step.stop or ("tool_use" if step.tools else "end_turn")
    usage = {
        "input_tokens": 100,
        "output_tokens": 20,
        "cache_creation_input_tokens": 5,
        "cache_read_input_tokens": 50,
    }
    return {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _block_events(index: int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if block["type"] == "text":
        empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
    else:
        empty = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    yield {"type": "content_block_start", "index": index, "content_block": empty}
    yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}
