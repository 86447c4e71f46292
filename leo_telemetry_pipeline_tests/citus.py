"""A strict checker for SQL that Citus refuses on a distributed table, and a search for our statements.

Belongs here: the rules, and collecting statements from source and migrations. Does not: running anything on Citus.
"""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "leo_telemetry_pipeline" / "store"
SQL = ROOT / "migrations" / "sql"
UNKNOWN = " _ "

SPANS = r"workflow_trace_log(?:_\w+)?\b"
_CLAUSE = r"\b(?:join|where|group|order|limit|union|having|window|returning|left|inner|full|cross)\b|\)|$"
_WORD = r"(?!(?:as|on|using|join|left|right|inner|full|cross|where|group|order|limit|union|set)\b)\w+"
_ALIAS = re.compile(rf"(?:\bfrom|\bjoin|,)\s+(?:only\s+)?({_WORD})(?:\s+as)?(?:\s+({_WORD}))?")

# Patterns of statements, each with what is wrong with it.
_REFUSED = {
    rf"\bupdate\s+(?:only\s+)?{SPANS}": "updates the span table",
    rf"\bmerge\s+into\s+{SPANS}": "merges into the span table",
    # Accepted: one shard has all rows of a key, so the conflict is resolved there, with values of that row only.
    rf"\binsert\s+into\s+{SPANS}.*(?<!on conflict \(trace_id, span_id, start_time_ms\) )\bdo\s+update\b": "updates"
    " the span table on conflict",
    rf"\binsert\s+into\s+{SPANS}.*\bdo\s+update\s+set\b.*\b(?:select|now\s*\(|random\s*\(|clock_timestamp)": "sets"
    " something other than values of the row on conflict",
    rf"\binsert\s+into\s+{SPANS}[^;]*\bselect\b[^;]*\bon\s+conflict\b(?![^;]*\breturning\b)": "counts rows that"
    " conflict as inserted, without RETURNING",
    rf"\bdelete\s+from\s+(?:only\s+)?{SPANS}[^;]*?\busing\b": "deletes from the span table by a join",
    rf"\bcreate\s+(?:or\s+replace\s+)?(?:constraint\s+)?trigger\b.*\bon\s+{SPANS}": "has a trigger on the span table",
    rf"\breferences\s+{SPANS}": "has a foreign key to the span table",
    rf"\b(?:create|alter)\s+table\s+(?:only\s+)?{SPANS}.*\b(?:references|foreign\s+key)\b": "has a foreign key from it",
    r"\bfor\s+(?:no\s+key\s+)?(?:update|share|key\s+share)\b": "locks rows of many shards",
    r"\bwith\s+recursive\b": "is recursive",
    r"\btablesample\b": "takes a sample",
    r"\bdetach\s+partition\s+\w+\s+(?:concurrently|finalize)\b": "detaches a partition without a lock",
    rf",\s*(?:only\s+)?{SPANS}": "joins the span table by a comma",
}


def refusals(sql: str, tables: frozenset[str]) -> list[str]:
    """Return the objections of Citus, or of a stricter rule of ours, to the statements in a text.

    ``tables`` are our other tables, which stay local and must not be joined with the span table.
    """
    return [said for statement in _plain(sql).split(";") for said in _refusals(statement, tables)]


def _refusals(statement: str, tables: frozenset[str]) -> list[str]:
    # The span table may be below an unknown query.
    found = list(_grouped_arrays(statement))
    if re.search(r"\bgrouping\s+sets\b|\b(?:rollup|cube)\s*\(", statement):
        found.append("uses grouping sets")
    if not re.search(rf"\b{SPANS}", statement):
        if re.search(r"\(\s*_\s*\)\s+as\b", statement):
            found += [f"reads {name} with an unknown query" for name in _local_tables(statement, tables)]
        return found
    if statement.split()[0] == "drop":
        return found
    found += [said for pattern, said in _REFUSED.items() if re.search(pattern, statement, re.DOTALL)]
    if re.search(rf"\b{SPANS}", _TARGET.sub(" ", statement)):
        found += [f"reads {name} with it" for name in _local_tables(statement, tables)]
    for join in re.finditer(rf"\bjoin\s+(?:only\s+)?{SPANS}(.*?)(?:{_CLAUSE})", statement, re.DOTALL):
        if "trace_id" not in join[1]:
            found.append("joins the span table on something other than trace_id")
    found += [f"has a correlated subquery: {inner[:60]}" for inner in _correlated(statement)]
    return found


def _grouped_arrays(statement: str) -> Iterator[str]:
    """Say where the values of an array are grouped for each row, which Citus 14 cannot plan."""
    for start, end in _groups(statement):
        is_lateral = re.search(r"\blateral\s*\($", statement[:start])
        if is_lateral and re.search(r"\bunnest\b.*\bgroup\s+by\b", statement[start:end], re.DOTALL):
            yield "groups the values of an array in a lateral subquery"


# What a statement writes or creates, and does not read.
_TARGET = re.compile(r"\binsert\s+into\s+\w+|\b(?:create|alter|comment\s+on)\s+(?:unlogged\s+)?table\s+\w+")


def _local_tables(statement: str, tables: frozenset[str]) -> list[str]:
    read = _TARGET.sub(" ", statement)
    return [name for name in sorted(tables) if re.search(rf"\b{name}\b", read)]


def _correlated(statement: str) -> Iterator[str]:
    """Yield the subqueries that read a table and a column of an outer query."""
    for start, end in _groups(statement):
        inner = " ".join(statement[start:end].split())
        if not re.match(r"(?:select|with)\b", inner) or not re.search(r"\bfrom\s+\w", inner):
            continue
        around = statement[:start] + statement[end:]
        if _stays_in_its_trace(statement[:start], inner):
            continue
        own, outer = _aliases(inner), _aliases(around)
        named = {name for name in re.findall(r"\b([a-z_]\w*)\.\w+", inner) if name in outer}
        # The value of a function in FROM is named without a dot.
        named |= {name for name in _functions(around) if re.search(rf"(?<![.\w]){name}\b(?!\s*[.(])", inner)}
        if named - own:
            yield inner


def _stays_in_its_trace(before: str, inner: str) -> bool:
    """Return whether a subquery is joined laterally by trace_id, grouped by it, without a limit: Citus allows it."""
    return bool(
        re.search(r"\bjoin\s+lateral\s*\($", before)
        and re.search(r"\b(\w+)\.trace_id = (?!\1\.)\w+\.trace_id\b", inner)
        and re.search(r"\bgroup by (?:\w+\.)?trace_id\b", inner)
        and not re.search(r"\b(?:limit|offset|distinct)\b", inner)
    )


def _groups(statement: str) -> Iterator[tuple[int, int]]:
    opened = []
    for at, character in enumerate(statement):
        if character == "(":
            opened.append(at + 1)
        elif character == ")" and opened:
            yield opened.pop(), at


def _aliases(text: str) -> set[str]:
    found = {name for pair in _ALIAS.findall(text) for name in pair if name}
    # A subquery or a function in FROM has its alias after the parenthesis.
    return found | set(re.findall(r"\)\s+(?:as\s+)?(\w+)", text)) | set(re.findall(r"\bwith\s+(\w+)\s+as\b", text))


def _functions(text: str) -> set[str]:
    """Return the names of the values of functions in FROM, such as ``unnest(...) AS day``."""
    return set(re.findall(r"\b(?:unnest|generate_series|extract)\s*\([^()]*\)\s+as\s+(\w+)(?!\s*\()", text))


def _plain(sql: str) -> str:
    """Return a text in lower case, without comments, literals and quotes."""
    sql = re.sub(r"--[^\n]*|/\*.*?\*/", " ", sql, flags=re.DOTALL)
    return re.sub(r"'(?:[^']|'')*'", "''", sql).replace('"', "").lower()


def local_tables() -> frozenset[str]:
    """Return the tables and views that the migrations create, except the span table."""
    names = {path.stem for kind in ("tables", "views") for path in (SQL / kind).glob("*.sql")}
    return frozenset(name for name in names if not re.fullmatch(SPANS, name))


def texts(path: Path, module: object = None) -> Iterator[tuple[int, str]]:
    """Yield every string of a source file with its line, constant parts concatenated."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside: set[int] = set()
    for node in ast.walk(tree):  # outermost first
        if id(node) in inside or id(node) in documentation or not _is_text(node):
            continue
        inside |= {id(part) for part in ast.walk(node)}
        yield getattr(node, "lineno", 0), _text(node, module)


def _is_text(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _text(node: ast.AST, module: object) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, module) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, module)
    if isinstance(node, ast.BinOp):
        return _text(node.left, module) + _text(node.right, module)
    if isinstance(node, ast.IfExp):
        return _text(node.body, module) + _text(node.orelse, module)
    if isinstance(node, ast.Call):
        # Arguments of format, join or a function of ours are checked together with the text around the call.
        parts = [node.func, *node.args, *(keyword.value for keyword in node.keywords)]
        return UNKNOWN.join(_text(part, module) for part in parts)
    known = _known(node, module)
    return known if isinstance(known, str) else UNKNOWN


def _known(node: ast.AST, module: object) -> object:
    if isinstance(node, ast.Name):
        return getattr(module, node.id, None)
    if isinstance(node, ast.Attribute):
        if node.attr in ("format", "join", "replace"):
            return _text(node.value, module)
        return getattr(_known(node.value, module), node.attr, None)
    return None


def store_texts() -> Iterator[tuple[str, str]]:
    """Yield (place, text) of every string in store/ and in the migrations."""
    for path in sorted(STORE.rglob("*.py")):
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        yield from ((f"{path.name}:{line}", text) for line, text in texts(path, module))
    for path in sorted(SQL.rglob("*.sql")):
        yield path.name, path.read_text(encoding="utf-8")
