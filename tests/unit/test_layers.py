"""Imports run one way, and each outside thing has one importer (docs/architecture.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import fqdnlab

ROOT = Path(fqdnlab.__file__).parent

#: Lower may not import higher; equals may import each other.
RANKS = {
    "errors": 0,
    "model": 1,
    "paths": 1,
    "pb": 1,
    "doctor_checks": 1,
    "testing": 2,
    "agent": 2,
    "datapath": 2,
    "dns": 2,
    "explain": 2,
    "machine": 2,
    "node": 2,
    "observer": 2,
    "plots": 2,
    "world": 2,
    "lab": 3,
    "recording": 3,
    "vagrant": 3,
    "doctor": 3,
    "doctor_workshop": 3,
    "cli": 4,
    "demo": 4,
    "lessons": 4,
    "notebook": 4,
}
#: What any part may use beside its rank: not there, so shared (metrics.py, clock.py …).
SHARED_RANK = 1

#: Outside thing → the only modules that may import it.  A folder ends with "/".
IMPORTERS = {
    "anywidget": {"notebook/"},
    "ipywidgets": {"notebook/"},
    "traitlets": {"notebook/"},
    "cryptography": {"world/ca.py"},
    "dnslib": {"dns/dnslib_codec.py"},
    "h11": {"world/http.py"},
    "plotly": {"plots/", "demo/report.py"},
    "prometheus_client": {"metrics.py"},
    "pyroute2": {"node/netlink.py"},
    "subprocess": {"node/processes.py", "lab/shell.py", "testing.py", "vagrant/programs.py"},
    "yaml": {"model/yaml_source.py"},
}


def modules() -> list[Path]:
    return [p for p in sorted(ROOT.rglob("*.py")) if "pb" not in p.relative_to(ROOT).parts[:1]]


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of each import in `path`, wherever it stands, but for types alone."""
    package = ["fqdnlab", *path.relative_to(ROOT).parts[:-1]]
    for node in _running(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            # `from fqdnlab import paths` imports the module paths; `from x import name` x at least.
            yield from ((f"{name}.{alias.name}", node.lineno) for alias in node.names)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        return
    for child in ast.iter_child_nodes(node):
        yield from _running(child)


def rank(part: str) -> int:
    return RANKS.get(part, SHARED_RANK)


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_the_folders_are_known() -> None:
    folders = {p.parent.relative_to(ROOT).parts[0] for p in modules() if p.parent != ROOT}
    assert folders <= set(RANKS), "a new folder: say in RANKS where it stands"


def test_imports_run_one_way() -> None:
    wrong = []
    for path in modules():
        part = part_of(path)
        if part == "__init__":
            continue  # the package's face: it may name what is on top
        for name, line in imports(path):
            words = name.split(".")
            if words[0] == "fqdnlab" and len(words) > 1 and rank(words[1]) > rank(part):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert wrong == []


def test_the_model_imports_nothing_of_the_rest() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules()
        if part_of(path) == "model"
        for name, line in imports(path)
        if name.startswith("fqdnlab.") and name.split(".")[1] not in ("model", "errors")
    ]
    assert wrong == []


@pytest.mark.parametrize("outside", sorted(IMPORTERS))
def test_each_outside_thing_has_one_importer(outside: str) -> None:
    allowed = IMPORTERS[outside]
    wrong = []
    for path in modules():
        place = path.relative_to(ROOT).as_posix()
        if place in allowed or any(a.endswith("/") and place.startswith(a) for a in allowed):
            continue
        wrong += [
            f"{place}:{line}" for name, line in imports(path) if name.split(".")[0] == outside
        ]
    assert wrong == [], f"{outside} is imported by {sorted(allowed)} only"


def test_the_test_sees_imports_of_every_form(tmp_path: Path) -> None:
    source = (
        "import yaml\nfrom fqdnlab import paths\ndef f():\n    from ..lab import shell\n"
        "if TYPE_CHECKING:\n    import dnslib\n"
    )
    path = ROOT / "node" / "no_such_file.py"

    class Text(type(path)):  # type: ignore[misc]
        def read_text(self, *args: object, **kwargs: object) -> str:
            return source

    assert [name for name, _ in imports(Text(path))] == [
        "yaml",
        "fqdnlab.paths",
        "fqdnlab.lab.shell",
    ]
