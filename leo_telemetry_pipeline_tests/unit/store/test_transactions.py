"""No transaction of ours asks for another one before it ends: behind a pooler it could wait for itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3] / "leo_telemetry_pipeline"
OPENING = ("transaction", "rows")


def nested(source: str) -> Iterator[int]:
    """Yield the lines inside ``with X.transaction()`` that hand X on, or open another transaction of any kind."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.With):
            continue
        owners = [owner for item in node.items if (owner := _owner(item.context_expr))]
        for call in (part for statement in node.body for part in ast.walk(statement) if isinstance(part, ast.Call)):
            handed = [*call.args, *(keyword.value for keyword in call.keywords)]
            if owners and (_owner(call) or any(ast.dump(each) in owners for each in handed)):
                yield call.lineno


def _owner(node: ast.expr) -> str | None:
    """Return whose transaction a call opens."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in OPENING:
        return ast.dump(node.func.value)
    return None


@pytest.mark.parametrize(
    "line",
    [
        "db.rows('SELECT 1')",
        "other.rows('SELECT 1')",
        "store(db, spans)",
        "store(spans, into=db)",
        "x = [f(db) for _ in y]",
    ],
)
def test_what_would_wait_for_itself_is_found(line: str):
    """Lost: the test below would pass whatever somebody writes."""
    assert list(nested(f"with db.transaction() as cursor:\n    cursor.execute('SELECT 1')\n    {line}\n")) == [3]
    assert list(nested(f"with db.transaction() as cursor:\n    cursor.execute('SELECT 1')\n{line}\n")) == []


def test_no_transaction_asks_for_another():
    """Lost: every program, for as long as the pooler lets a client wait; or the first half of what belongs together."""
    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in nested(path.read_text(encoding="utf-8"))
    ]
    assert found == []
