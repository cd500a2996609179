"""The layout of the package, held: who imports whom, which files are pure, and how big things may
become.

Everything is read from the sources' syntax trees; nothing is imported. The limits only ever
tighten: what exceeds one is listed below by name, with its present size. A listed size that is no
longer true fails, too, so the list shrinks together with the code.
"""

import ast
import gc
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("layout")
"""All read the same syntax trees."""

ROOT = Path(__file__).parent.parent
PACKAGES = ("gateway", "drivers")

FLOORS: tuple[tuple[str, ...], ...] = (
    ("gateway.__main__",),
    ("gateway.cli",),
    ("gateway.app",),
    ("gateway.operator", "gateway.fleet"),
    ("gateway.delivery", "gateway.collect"),
    ("gateway.page",),
    ("gateway.history",),
    ("gateway.ledger", "gateway.monitoring"),
    ("gateway.store", "gateway.site"),
    ("gateway.outbox", "gateway.energy", "gateway.timing"),
    ("gateway",),
    ("drivers",),
)
"""From the top; `gateway` itself is its `__init__.py`, with the version. Imports go down only, and
rooms of one floor do not import each other.
"""

SAME_FLOOR: Mapping[tuple[str, str], str] = {
    ("gateway.outbox", "gateway.energy"): "items speak of assets, directions and slots",
}
"""Arrows within a floor that are meant: (importer, imported) → why."""

BETWEEN_DRIVERS: Mapping[tuple[str, str], str] = {
    ("drivers.sunspec", "drivers.modbus"): "SunSpec is spoken over Modbus",
}
"""Protocols that import another one: (importer, imported) → why. All may import what lies beside
them in drivers/, and drivers/net/; the simulated meters may import all.
"""

PURE_ROOMS = ("gateway/energy", "gateway/outbox")
"""Every file in them is pure. Elsewhere a file is pure if its docstring says "Pure."."""

TEST_DATA = ("tests/drivers/p1/telegrams",)
"""Folders of tests that stand beside the tests they belong to, and mirror nothing."""

LOADERS = ("gateway/outbox/dialects/__init__.py",)
"""Files of pure rooms that look for modules by name, on the disk."""

IMPURE = {
    *("asyncio", "http", "httpx", "logging", "random", "secrets", "select", "selectors", "socket"),
    *("sqlite3", "ssl", "subprocess", "threading", "time", "urllib.request"),
}
"""What no pure file imports: clocks, chance, storage, the network and the log."""

COLLECTIONS: Mapping[str, frozenset[str]] = {
    "gateway/page/languages": frozenset(("WORDS",)),
    "gateway/page/pages": frozenset(("render",)),
    "gateway/cli/commands": frozenset(("arguments", "run")),
    "gateway/outbox/dialects": frozenset(("Dialect",)),
    "gateway/delivery/kinds": frozenset(("Settings", "open")),
    "gateway/operator/models": frozenset(("Settings", "build")),
}
"""Folders in which every file is one thing of a kind, and the names that each of them defines."""

MAX_COLUMNS = 100
MAX_CLASS_LINES = 300
MAX_CLASS_FIELDS = 12
"""Fields of state. A frozen dataclass holds data: it may mirror a table or a profile."""
MAX_FUNCTION_LINES = 60
MAX_TEST_FILE_LINES = 500

EXCEPTIONS: Mapping[str, int] = {
    "tests/benchmarks/power.py: fields of Life": 21,
    "tests/drivers/iec62056/test_redact.py: wide lines": 1,
    "tests/gateway/cli/test_check.py: lines of test_ten_and_more_different_mistakes_are_all_n"
    "amed_in_one_run()": 74,
    "tests/gateway/energy/test_fold.py: wide lines": 3,
    "tests/gateway/store/test_upgrades.py: lines of test_the_fold_goes_on_where_the_earlier_v"
    "ersion_stopped()": 65,
}
"""What is bigger than its limit, and how big it is. Only ever take away from this, or make smaller
what stands in it.
"""


# --- what there is --------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """Each collection of garbage goes through millions of nodes for as long as they are there."""
    yield
    for remembered in (sources, modules, imported, arrows, too_big):
        remembered.cache_clear()


@cache
def sources() -> Mapping[str, ast.Module]:
    """Every Python file of the repository's own, by its path."""
    files = sorted(
        file for top in (*PACKAGES, "tests", "docs") for file in (ROOT / top).rglob("*.py")
    )
    gc.disable()  # none of it is garbage
    try:
        return {
            file.relative_to(ROOT).as_posix(): ast.parse(file.read_text(encoding="utf-8"))
            for file in files
        }
    finally:
        gc.enable()


@cache
def modules() -> Mapping[str, str]:
    """Every module of the packages: its name → its path."""
    return {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path
        for path in sources()
        if path.startswith(tuple(f"{package}/" for package in PACKAGES))
    }


@cache
def imported(tree: ast.Module) -> tuple[str, ...]:
    """Every module, or name of a module, that a file imports: also inside functions."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names += (f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(names)


@cache
def arrows() -> frozenset[tuple[str, str]]:
    """(importer, imported) between the modules of the packages."""
    found = set()
    for module, path in modules().items():
        for name in imported(sources()[path]):
            target = name if name in modules() else name.rpartition(".")[0]
            if target in modules():
                found.add((module, target))
    return frozenset(found)


def room(module: str) -> str:
    """The room on a floor that a module lies in."""
    parts = module.split(".")
    return parts[0] if parts[0] == "drivers" else ".".join(parts[:2])


def circle(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """A circle of arrows, if there is one."""
    graph: dict[str, set[str]] = {}
    for importer, target in pairs:
        if importer != target:
            graph.setdefault(importer, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


# --- floors ---------------------------------------------------------------------------------------


def floor(module: str) -> int:
    """Counted from the top."""
    return next(n for n, rooms in enumerate(FLOORS) if room(module) in rooms)


def test_every_file_lies_on_a_floor() -> None:
    on_floors = {name for rooms in FLOORS for name in rooms}
    assert {room(module) for module in modules()} == on_floors


def test_imports_go_down_only() -> None:
    up = [
        f"{importer} imports {target}, which lies above"
        for importer, target in sorted(arrows())
        if floor(importer) > floor(target)
    ]
    assert up == []


def test_rooms_of_one_floor_do_not_import_each_other() -> None:
    across = {
        (room(importer), room(target))
        for importer, target in arrows()
        if floor(importer) == floor(target) and room(importer) != room(target)
    }
    assert across == set(SAME_FLOOR)


def test_protocols_do_not_import_each_other() -> None:
    folders = {module for module, path in modules().items() if path.endswith("/__init__.py")}

    def protocol(module: str) -> str:
        return ".".join(module.split(".")[:2])

    across = {
        (protocol(importer), protocol(target))
        for importer, target in arrows()
        if protocol(importer).startswith("drivers.")
        and {protocol(importer), protocol(target)} <= folders
        and protocol(importer) not in (protocol(target), "drivers.simulated")
        and protocol(target) != "drivers.net"
    }
    assert across == set(BETWEEN_DRIVERS)


def test_there_is_no_circle_between_files() -> None:
    assert circle(arrows()) == []


def test_there_is_no_circle_between_rooms() -> None:
    assert circle((room(importer), room(target)) for importer, target in arrows()) == []


def test_drivers_do_not_know_the_gateway_and_neither_knows_the_tests() -> None:
    strangers = [
        f"{path} imports {name}"
        for path in modules().values()
        for name in imported(sources()[path])
        if name.split(".")[0] in (("gateway", "tests") if path.startswith("drivers/") else "tests")
    ]
    assert strangers == []


# --- purity ---------------------------------------------------------------------------------------


def pure_files() -> Iterator[str]:
    for path, tree in sources().items():
        says_so = re.search(r"\b[Pp]ure\.(\s|$)", ast.get_docstring(tree) or "")
        in_pure_room = path.startswith(tuple(f"{each}/" for each in PURE_ROOMS))
        if (says_so or in_pure_room) and path not in LOADERS:
            yield path


def test_pure_files_import_nothing_impure() -> None:
    files = list(pure_files())
    impure = [
        f"{path} imports {name}"
        for path in files
        for name in imported(sources()[path])
        if not IMPURE.isdisjoint((name, name.split(".")[0], name.rpartition(".")[0]))
    ]
    assert impure == []
    assert len(files) > 40, "files that are pure say so in their docstrings"


# --- what lies where ------------------------------------------------------------------------------


def defined(tree: ast.Module) -> set[str]:
    """The names that a module defines at its top."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
    return names


@pytest.mark.parametrize("folder", COLLECTIONS)
def test_a_collection_holds_nothing_else(folder: str) -> None:
    others = [
        path
        for path, tree in sources().items()
        if path.startswith(f"{folder}/")
        and not path.endswith("/__init__.py")
        and not COLLECTIONS[folder] <= defined(tree)
    ]
    assert others == []


def test_the_tests_mirror_the_rooms() -> None:
    mirrored = {path.removeprefix("tests/").rpartition("/")[0] for path in sources()}
    strangers = [
        folder.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for folder in (ROOT / "tests" / package).rglob("*/")
        if any(folder.glob("*.py"))
        and not (ROOT / folder.relative_to(ROOT / "tests")).is_dir()
        and folder.relative_to(ROOT).as_posix() not in TEST_DATA
    ]
    untested = {
        "/".join(module.split(".")[:2])
        for module, path in modules().items()
        if path.endswith("/__init__.py") and "." in module
    } - mirrored
    assert strangers == []
    assert untested == set()


TREE_LINE = re.compile(r"( *)((?:[\w.*<>/-]+(?:/|\.py),? +)*[\w.*<>/-]+(?:/|\.py)),?(?: |$)")


def architecture_tree() -> Iterator[str]:
    """The folders and files that ARCHITECTURE.md's tree names at the beginnings of its lines."""
    lines = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()
    begin = next(n for n, line in enumerate(lines) if re.match(r"\s*gateway/", line))
    while begin and re.match(r"    |\s*$", lines[begin - 1]) and lines[begin - 1].strip():
        begin -= 1
    inside: list[tuple[int, str]] = []
    for line in lines[begin:]:
        if not line.strip() or line.startswith("```"):
            return
        if not (found := TREE_LINE.match(line)):
            continue
        indent = len(found[1])
        inside = [(depth, name) for depth, name in inside if depth < indent]
        above = inside[-1][1] if inside else ""
        names = [above + name.rstrip(",") for name in found[2].split()]
        yield from names
        inside += [(indent, name) for name in names[:1] if name.endswith("/")]


def test_the_architecture_page_shows_the_real_tree() -> None:
    named = list(architecture_tree())
    missing = [name for name in named if not (ROOT / name).exists()]
    folders = {
        f"{Path(path).parent.as_posix()}/"
        for path in sources()
        if path.startswith(tuple(f"{package}/" for package in PACKAGES))
    }
    assert missing == [], "ARCHITECTURE.md names what is not there"
    assert sorted(folders - set(named)) == [], "ARCHITECTURE.md does not name them"


# --- sizes ----------------------------------------------------------------------------------------

PRAGMA = re.compile(r"\s*# (noqa|type: ignore).*")
"""Such a comment, with its reason, may go beyond the last column."""


def columns(path: str) -> Iterator[tuple[str, int]]:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    wide = sum(len(PRAGMA.sub("", line)) > MAX_COLUMNS for line in lines)
    if wide:
        yield f"{path}: wide lines", wide


def classes(path: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(sources()[path]):
        if not isinstance(node, ast.ClassDef):
            continue
        if (lines := length(node)) > MAX_CLASS_LINES:
            yield f"{path}: lines of {node.name}", lines
        made_so = [*node.decorator_list, *node.keywords]  # a dataclass, or a Struct
        is_data = any("frozen=True" in ast.unparse(each) for each in made_so)
        if not is_data and (fields := len(state(node))) > MAX_CLASS_FIELDS:
            yield f"{path}: fields of {node.name}", fields


def state(node: ast.ClassDef) -> set[str]:
    """The fields that a class declares, and those that its methods set."""
    declared = {
        each.target.id
        for each in node.body
        if isinstance(each, ast.AnnAssign)
        and isinstance(each.target, ast.Name)
        and "ClassVar" not in ast.unparse(each.annotation)
    }
    assigned = {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute)
        and isinstance(each.ctx, ast.Store)
        and isinstance(each.value, ast.Name)
        and each.value.id == "self"
    }
    return declared | assigned


def functions(path: str) -> Iterator[tuple[str, int]]:
    for name, node in named_functions(sources()[path], ""):
        if (lines := length(node)) > MAX_FUNCTION_LINES:
            yield f"{path}: lines of {name}()", lines


def named_functions(inside: ast.AST, prefix: str) -> Iterator[tuple[str, ast.stmt]]:
    for node in ast.iter_child_nodes(inside):
        name = prefix
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}.{node.name}".lstrip(".")
            if not isinstance(node, ast.ClassDef):
                yield name, node
        yield from named_functions(node, name)


def length(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def file_lines(path: str) -> Iterator[tuple[str, int]]:
    lines = (ROOT / path).read_text(encoding="utf-8").count("\n")
    if path.startswith("tests/") and lines > MAX_TEST_FILE_LINES:
        yield f"{path}: lines", lines


@cache
def too_big() -> dict[str, int]:
    return {
        name: size
        for path in sources()
        for measure in (columns, classes, functions, file_lines)
        for name, size in measure(path)
    }


def test_nothing_is_bigger_than_it_may_be() -> None:
    grown = {name: size for name, size in too_big().items() if size > EXCEPTIONS.get(name, 0)}
    assert grown == {}, "bigger than its limit, or than what it was allowed to be"


def test_no_exception_is_bigger_than_it_must_be() -> None:
    found = too_big()
    slack = {
        name: found.get(name) for name, size in EXCEPTIONS.items() if size > found.get(name, 0)
    }
    assert slack == {}, "smaller now (None: within its limit): write that into EXCEPTIONS"


if __name__ == "__main__":
    # Prints what EXCEPTIONS must hold now.
    for name, size in too_big().items():
        parts = [name[at : at + 88] for at in range(0, len(name), 88)]
        sys.stdout.write("    " + "\n    ".join(f'"{part}"' for part in parts) + f": {size},\n")
