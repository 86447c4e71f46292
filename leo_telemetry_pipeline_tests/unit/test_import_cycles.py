"""Import cycles between packages or modules, whether imports are at the top, in functions or only for types."""

from collections.abc import Iterator
from pathlib import Path

from leo_telemetry_pipeline_tests.unit.import_graph import Graph, imports_in

PACKAGE = Path(__file__).resolve().parents[2] / "leo_telemetry_pipeline"


def children_of(package: str, imports: Graph) -> Graph:
    """Return which children of a package import which others; a child includes everything below it."""
    depth = package.count(".") + 2
    needs: Graph = {}
    for module, needed in imports.items():
        if module.startswith(f"{package}."):
            child = ".".join(module.split(".")[:depth])
            others = {".".join(other.split(".")[:depth]) for other in needed if other.startswith(f"{package}.")}
            needs.setdefault(child, set()).update(others - {child})
    return needs


def cycles_in(needs: Graph) -> Iterator[list[str]]:
    """Yield cycles of names, each ending as it begins. Without the last import of each, no cycle would be left."""
    left = {name: set(others) for name, others in needs.items()}
    while left:
        if free := [name for name, others in left.items() if not others & left.keys()]:
            for name in free:
                del left[name]
            continue
        path = [min(left)]
        while path[-1] not in path[:-1]:
            path.append(min(left[path[-1]] & left.keys()))
        cycle = path[path.index(path[-1]) :]
        yield cycle
        left[cycle[-2]].remove(cycle[-1])


def cycles(package: Path) -> list[str]:
    """Return the cycles within each package as sentences."""
    imports = imports_in(package)
    packages = sorted(name.removesuffix(".__init__") for name in imports if name.endswith(".__init__"))
    found = [cycle for each in packages for cycle in cycles_in(children_of(each, imports))]
    return [f"{cycle[0]} imports " + ", which imports ".join(cycle[1:]) for cycle in found]


def test_no_two_packages_or_modules_import_each_other():
    """Lost: packages that can be read, tested and changed one at a time."""
    assert cycles(PACKAGE) == []


def test_a_cycle_is_found_wherever_its_imports_are(tmp_path: Path):
    """Lost: a cycle stays unnoticed if its imports are not at the top of their files."""
    package = tmp_path / "p"
    for name, text in {
        "__init__": "",
        "top_a": "import p.top_b",
        "top_b": "from p import top_c",
        "top_c": "from p.top_a import x",
        "lazy/__init__": "def f():\n    from p.lazy.inner import x",
        "lazy/inner": "from p.lazy import f",
        "types/__init__": "",
        "types/one": "if TYPE_CHECKING:\n    from p.types.two import x",
        "types/two": "def f():\n    import p.types.one",
        "pair/__init__": "",
        "pair/left/__init__": "",
        "pair/left/a": "from p.pair.right import a",
        "pair/left/b": "",
        "pair/right/__init__": "",
        "pair/right/a": "",
        "pair/right/b": "from p.pair.left import b",
        "fine/__init__": "from p.fine.below import x",
        "fine/below": "import os, p.fine.further",
        "fine/further": "",
    }.items():
        file = package / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert cycles(package) == [
        "p.top_a imports p.top_b, which imports p.top_c, which imports p.top_a",
        "p.lazy.__init__ imports p.lazy.inner, which imports p.lazy.__init__",
        "p.pair.left imports p.pair.right, which imports p.pair.left",
        "p.types.one imports p.types.two, which imports p.types.one",
    ]
