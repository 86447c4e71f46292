"""Which modules of a package import which others, anywhere in their code."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

Graph = dict[str, set[str]]


def modules_in(package: Path) -> dict[str, Path]:
    """Map the name of each module below a package to its file; a package's own code is ``name.__init__``."""
    return {".".join(path.relative_to(package.parent).with_suffix("").parts): path for path in package.rglob("*.py")}


def imported_by(tree: ast.AST, modules: Mapping[str, Path]) -> Iterator[str]:
    """Yield the modules that code imports anywhere: `walk` also sees functions and `if TYPE_CHECKING`."""

    def module(name: str) -> list[str]:
        return [each for each in (name, f"{name}.__init__") if each in modules]

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from module(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield from module(f"{node.module}.{alias.name}") or module(node.module)


@cache
def imports_in(package: Path) -> Graph:
    """Return which modules of a package import which others of it."""
    modules = modules_in(package)
    return {name: set(imported_by(ast.parse(path.read_text()), modules)) for name, path in modules.items()}
