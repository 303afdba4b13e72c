"""The walls of the house: which package may import which, read from the source."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = ("runner", "analysis")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for room in HOUSE
    for path in (ROOT / room).rglob("*.py")
}
LAZY = ("runner.runtimes",)
"""A runtime's step is made in the worker: its module imports what it needs there inside its functions."""


def imports(module: str) -> Iterator[str]:
    """Yields what a module imports, also inside functions and for types alone."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            yield from (_of(str(node.module), alias.name) for alias in node.names)


def _of(package: str, name: str) -> str:
    return f"{package}.{name}" if f"{package}.{name}" in MODULES else package


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def crossing(importers: tuple[str, ...], imported: tuple[str, ...], doors: tuple[str, ...] = ()) -> list[str]:
    """Returns a line for each import of a package by another that is none of the doors between them."""
    return sorted(
        f"{module} imports {name}"
        for module in MODULES
        if within(module, *importers)
        for name in imports(module)
        if within(name, *imported) and not within(module, *imported) and not within(name, *doors)
    )


PARENT = tuple(name for name in MODULES if name.count(".") == 1 and within(name, "runner") and name != "runner.worker")


@pytest.mark.medium
def test_the_parent_imports_nothing_of_the_worker():
    parent = tuple(name for name in PARENT if name not in LAZY)
    assert crossing(parent, ("runner.worker",)) == []


@pytest.mark.medium
def test_the_worker_plans_launches_and_stores_nothing():
    parent = ("runner.plan", "runner.launch", "runner.store", "runner.ab", "runner.cli", "runner.commands")
    walls = (*parent, "mlflow", "click")
    assert crossing(("runner.worker",), walls) == []


def test_a_runtime_imports_the_worker_inside_its_functions():
    for module in (name for name in MODULES if within(name, *LAZY) and "._" not in name):
        for node in ast.parse(MODULES[module].read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "runner.worker" not in ast.unparse(node), module


@pytest.mark.medium
def test_launching_knows_no_store_and_no_worker():
    assert crossing(("runner.launch", "runner.plan", "runner.record", "runner.cell"), ("runner.store", "mlflow")) == []


@pytest.mark.medium
def test_pydantic_is_needed_where_a_record_is_read_into_its_type_alone():
    asking = [name for name in MODULES if any(within(each, "pydantic", "pydantic_core") for each in imports(name))]
    assert asking == ["runner.record.read"]


@pytest.mark.medium
def test_no_module_of_the_runner_needs_the_reader_when_it_is_imported():
    assert [name for name in MODULES if "runner.record.read" in _top(name)] == []


@pytest.mark.medium
def test_ray_is_needed_where_a_fleet_is_asked_for_alone():
    """No module imports it when it is imported itself: a machine without Ray measures as before."""
    assert [name for name in MODULES if any(within(each, "ray") for each in imports(name))] == ["runner.fleet.cluster"]
    assert [name for name in MODULES if any(within(each, "ray") for each in _top(name))] == []
    outside = {name for name in MODULES for each in imports(name) if within(each, "runner.fleet")}
    assert {name for name in outside if not within(name, "runner.fleet")} == {"runner.commands.studying"}


DOORS = {
    "cell": ("runner.registry",),
    "files": (),
    "processes": ("runner.cell.cell", "runner.machine.host"),
    "redaction": ("runner.machine.host",),
}
"""Room below all others → what else it imports."""


@pytest.mark.parametrize("room", DOORS)
def test_a_room_below_all_others_imports_no_more_than_it_must(room):
    """Errors, failures and plain files may be read everywhere."""
    own = [name for name in MODULES if within(name, f"runner.{room}")]
    allowed = ("runner.errors", "runner.failures", "runner.files", f"runner.{room}", *DOORS[room])
    outside = {name for module in own for name in imports(module) if within(name, "runner", "analysis")}
    assert own
    assert sorted(name for name in outside if not within(name, *allowed)) == []


READ = (
    *("runner.cell", "runner.record", "runner.errors", "runner.failures", "runner.files", "runner.terminal"),
    *("runner.registry", "runner.declarations", "runner.redaction", "runner.processes", "runner.plan.fit", "runner.ab"),
    *("runner.counts", "runner.layout", "runner.hostcondition.condition"),
)
"""Packages that tables are made of, or that every command line needs."""
WITH_STORES = ("analysis.sources", "analysis.cli", "analysis.commands", "analysis.publish")


@pytest.mark.medium
def test_analysis_reads_records_and_measures_nothing():
    others = tuple(name for name in MODULES if name.startswith("analysis.") and not within(name, *WITH_STORES))
    walls = tuple(name for name in (*PARENT, "runner.worker", "torch", "mlflow") if not within(name, *READ))
    assert crossing(others, walls, READ) == []


@pytest.mark.medium
def test_the_commands_of_analysis_reach_the_store_and_no_further():
    walls = ("runner.worker", "runner.launch", "runner.machine", "runner.plan", "torch")
    assert crossing(WITH_STORES, walls, READ) == []


def test_each_package_says_in_two_sentences_what_belongs_in_it():
    for name, path in MODULES.items():
        if path.name == "__init__.py":
            said = ast.get_docstring(ast.parse(path.read_text())) or ""
            assert said.count(".") >= 2, f"{name}: {said!r}"


def test_every_package_has_its_line_in_the_map():
    """CONTRIBUTING.md is where a stranger looks for the package that does something."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    packages = [path.parent.relative_to(ROOT) for path in MODULES.values() if path.name == "__init__.py"]
    assert sorted(re.findall(r"^\| `((?:runner|analysis)/[a-z/]*)` \|", text, re.MULTILINE)) == sorted(
        f"{package}/" for package in packages
    )


def test_the_map_names_only_what_is_there():
    for path in re.findall(
        r"`((?:runner|analysis|experiments|tests)/[\w./]*)`", (ROOT / "CONTRIBUTING.md").read_text()
    ):
        assert (ROOT / path).exists(), path


TABLE_AND_FIGURE = "a table and its figure"
SAME_PART = {
    "__init__": "a package",
    "__main__": "a command",
    "cli": "a command line",
    "session": "one session: launched by the parent, run by the worker",
    "worker": "a worker in a container",
    "gate": "the gate: driven, verified, and its section of a record",
    "head": "what a record begins with: verified, and its sections",
    "passes": "the timed passes: verified, and their section of a record",
    "energy": "the energy of a step: measured, derived, verified, and its section of a record",
    "actual": "what really ran: read off, and verified",
    "card": "the card: checked before, and verified",
    "cache": "what is kept for the next command",
    "schema": "a schema: of a record, of a study file, and of a store's database",
    "registry": "a registry: of formats, kernels and runtimes, and of tables",
    "report": "a report: made, and committed as a run",
    "database": "the database of a store: looked at before measuring, and read for tables",
    "request": "the request: parsed, and verified",
    "budget": TABLE_AND_FIGURE,
    "choose": TABLE_AND_FIGURE,
    "graphs": TABLE_AND_FIGURE,
    "quant": TABLE_AND_FIGURE,
    "exllamav2": "a kernel and a runtime of one package",
    "fused": "a kernel and its runtime",
}
"""Names that modules of several packages share, since they play the same part there."""


def test_no_two_modules_share_a_name_unless_they_play_the_same_part():
    by_name = defaultdict(list)
    for module, path in MODULES.items():
        by_name[path.stem].append(module)
    assert {name: found for name, found in by_name.items() if len(found) > 1 and name not in SAME_PART} == {}


@pytest.mark.slow
def test_no_import_goes_in_a_circle():
    """Only imports that run when a module is imported count."""
    graph = {module: {name for name in _top(module) if name in MODULES} for module in MODULES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for name in sorted(graph[module]):
                visit(name, (*path, module))
            done.add(module)

    for module in sorted(MODULES):
        visit(module, ())


def _top(module: str) -> Iterator[str]:
    for node in ast.parse(MODULES[module].read_text()).body:
        if isinstance(node, ast.ImportFrom):
            yield from (_of(str(node.module), alias.name) for alias in node.names)
