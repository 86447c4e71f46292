"""Modules named under "Does not" in a docstring: used by the module that names them, or import-linter forbids it.

A docstring names modules in brackets: "Does not: how a segment is kept (spool.journal)". If a module imports the one
that it names, directly or indirectly, it uses that one for the work. Otherwise a contract must forbid the import.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from leo_telemetry_pipeline_tests.unit.import_graph import imports_in, modules_in

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "leo_telemetry_pipeline"
MODULES = {name.removesuffix(".__init__"): path for name, path in modules_in(PACKAGE).items()}
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
SENTENCE = re.compile(r"Does not(?: belong here)?:(.*?)\.(?= |$)")
NAME = re.compile(r"[a-z_0-9]+(?:[./][a-z_0-9]+)*")


def named() -> Iterator[tuple[str, str]]:
    """Yield each module with each name in its brackets, except pages and packages that contain the module."""
    for module, path in MODULES.items():
        text = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())
        for words in re.findall(r"\(([^()]*)\)", "".join(SENTENCE.findall(text))):
            for word in filter(NAME.fullmatch, re.split(r", | and | or ", words)):
                if not (ROOT / word).is_file() and not is_in(module, f"{PACKAGE.name}.{word}"):
                    yield module, word


def meant(module: str, name: str) -> str | None:
    """Return the module that a name means: the nearest in an enclosing package, else the only one further in."""
    name, above = name.replace("/", "."), module
    while above:
        if f"{above}.{name}" in MODULES and not is_in(module, f"{above}.{name}"):
            return f"{above}.{name}"
        above = above.rpartition(".")[0]
    top = ".".join(module.split(".")[:2])
    found = [other for other in MODULES if other.startswith(f"{top}.") and other.endswith(f".{name}")]
    return found[0] if len(found) == 1 else None


def is_in(module: str, package: str) -> bool:
    """Tell whether a module is a package or is inside it."""
    return module == package or module.startswith(f"{package}.")


@cache
def reached_from(package: str) -> frozenset[str]:
    """Return everything that the modules of a package import, directly or indirectly."""
    imports = imports_in(PACKAGE)
    found: set[str] = set()
    left = [module for module in imports if is_in(module, package)]
    while left:
        new = imports[left.pop()] - found
        found |= new
        left += new
    return frozenset(found)


def forbids(contract: dict, module: str, other: str) -> bool:
    """Tell whether a contract forbids a module to import another."""
    match contract["type"]:
        case "layers":
            return any(_is_lower(contract["layers"], box, module, other) for box in contract["containers"])
        case "independence":
            return {module, other} <= set(contract["modules"])
        case "forbidden":
            sources, forbidden = contract["source_modules"], contract["forbidden_modules"]
            return any(is_in(module, each) for each in sources) and any(is_in(other, each) for each in forbidden)
    return False


def _is_lower(layers: list[str], box: str, module: str, other: str) -> bool:
    def place(of: str) -> tuple[int, bool, str] | None:
        child = of.removeprefix(f"{box}.").split(".")[0] if of.startswith(f"{box}.") else ""
        for depth, layer in enumerate(layers):
            if child in re.findall(r"\w+", layer):
                return depth, "|" in layer, child
        return None

    here, there = place(module), place(other)
    if here is None or there is None or here[2] == there[2]:
        return False
    return here[0] > there[0] or (here[0] == there[0] and here[1])


def test_every_module_that_a_docstring_names_exists():
    """Lost: the time of a reader who looks for a module that was renamed."""
    assert [f"{module} names {name}" for module, name in named() if meant(module, name) is None] == []


def test_a_contract_forbids_what_a_docstring_excludes():
    """Lost: docstrings that nothing enforces, and a module that takes over what its docstring excludes."""
    pairs = [(module, other) for module, name in named() if (other := meant(module, name))]
    assert len(pairs) > 300
    loose = [
        f"{module} may import {other}"
        for module, other in pairs
        if not any(is_in(each, other) for each in reached_from(module))
        and not any(forbids(contract, module, other) for contract in CONTRACTS)
    ]
    assert loose == []
