"""No two rooms need each other, whichever way they are imported: at the top, in a function, or only for types."""

from collections.abc import Iterator
from pathlib import Path

from leo_telemetry_pipeline_tests.unit.import_graph import Graph, imports_in

PACKAGE = Path(__file__).resolve().parents[2] / "leo_telemetry_pipeline"


def rooms(package: str, imports: Graph) -> Graph:
    """Return which children of a package import which others, each with everything below it."""
    depth = package.count(".") + 2
    needs: Graph = {}
    for module, needed in imports.items():
        if module.startswith(f"{package}."):
            child = ".".join(module.split(".")[:depth])
            others = {".".join(other.split(".")[:depth]) for other in needed if other.startswith(f"{package}.")}
            needs.setdefault(child, set()).update(others - {child})
    return needs


def circles_in(needs: Graph) -> Iterator[list[str]]:
    """Yield the names along each circle, the first of them again at its end, until mending these leaves none."""
    left = {name: set(others) for name, others in needs.items()}
    while left:
        if free := [name for name, others in left.items() if not others & left.keys()]:
            for name in free:
                del left[name]
            continue
        path = [min(left)]
        while path[-1] not in path[:-1]:
            path.append(min(left[path[-1]] & left.keys()))
        circle = path[path.index(path[-1]) :]
        yield circle
        left[circle[-2]].remove(circle[-1])


def circles(package: Path) -> list[str]:
    """Tell the circles of each package as sentences."""
    imports = imports_in(package)
    packages = sorted(name.removesuffix(".__init__") for name in imports if name.endswith(".__init__"))
    found = [circle for each in packages for circle in circles_in(rooms(each, imports))]
    return [f"{circle[0]} imports " + ", which imports ".join(circle[1:]) for circle in found]


def test_no_room_needs_one_that_needs_it():
    """Lost: rooms that can be read, tested and changed one at a time."""
    assert circles(PACKAGE) == []


def test_a_circle_is_found_however_it_is_closed(tmp_path: Path):
    """Lost: circles that a search for imports at the top of files does not see."""
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
        "room/__init__": "",
        "room/left/__init__": "",
        "room/left/a": "from p.room.right import a",
        "room/left/b": "",
        "room/right/__init__": "",
        "room/right/a": "",
        "room/right/b": "from p.room.left import b",
        "fine/__init__": "from p.fine.below import x",
        "fine/below": "import os, p.fine.further",
        "fine/further": "",
    }.items():
        file = package / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert circles(package) == [
        "p.top_a imports p.top_b, which imports p.top_c, which imports p.top_a",
        "p.lazy.__init__ imports p.lazy.inner, which imports p.lazy.__init__",
        "p.room.left imports p.room.right, which imports p.room.left",
        "p.types.one imports p.types.two, which imports p.types.one",
    ]
