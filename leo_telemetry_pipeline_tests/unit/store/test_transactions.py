"""No transaction opens another one before it ends: behind a pooler it could wait for itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3] / "leo_telemetry_pipeline"
OPENING = ("transaction", "rows")


def nested(source: str) -> Iterator[int]:
    """Yield the lines inside ``with X.transaction()`` that pass X on or open another transaction."""
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
def test_nested_transactions_are_detected(line: str):
    """Lost: the test below, which would always pass."""
    assert list(nested(f"with db.transaction() as cursor:\n    cursor.execute('SELECT 1')\n    {line}\n")) == [3]
    assert list(nested(f"with db.transaction() as cursor:\n    cursor.execute('SELECT 1')\n{line}\n")) == []


def test_no_transaction_opens_another():
    """Lost: a program hangs behind a pooler; or half of an atomic change."""
    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in nested(path.read_text(encoding="utf-8"))
    ]
    assert found == []
