"""Tables at a terminal: what identifies a row, which columns stay, and where flags are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from analysis import registry, tabletext
from analysis.cellcolumns import CELL, FLAGS, SESSIONS, WALL
from analysis.form import Column
from analysis.reading import Reading
from analysis.row import Row
from analysis.sources.selection import Selection
from analysis.table import Part, Table
from analysis.terminaltable import Texts, fitting
from tests.support.terminals import at_terminal

RECORDS = Path(__file__).parents[2] / "experiments" / "records"


LATER = [table.name for table in registry.tables() if table.name not in ("choose", "floor")]
"""Tables whose commands are tried with all others that take long."""


@dataclass(frozen=True)
class Toy(Row):
    gpu: str
    ctx: int
    runtime: str
    cache: str
    sessions: int
    step_wall_ms: float
    busy_ms: float
    flags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Arms(Row):
    gpu: str
    runtime: str
    weights: str
    sessions: int
    step_wall_ms: float


ROWS = (
    Toy("l4", 2048, "eager", "static", 3, 60.5, 50.0, ["drifting", "gate-1"]),
    Toy("l4", 2048, "eager", "dynamic", 3, 70.25, 51.0, ["gate-1"]),
    Toy("l4", 2048, "graph", "static", 5, 50.0, 49.0),
)
BUSY = Column("kernels", "busy_ms", ".1f", unit="ms")
COLUMNS = (*(CELL[name] for name in ("gpu", "ctx", "runtime", "cache")), SESSIONS, WALL, BUSY, FLAGS)
FIRST = ("gpu", "ctx", "runtime", "step_wall_ms", "busy_ms", "flags")
PART = Part("toys", "Toys", ROWS, COLUMNS, first=FIRST, nothing="No toy.")
MORE = ["--format md shows every column, with the", "sessions of each row"]
LEGEND = "flags: a drifting, b gate-1 (docs/flags.md)"


def test_a_row_is_named_by_its_configuration_and_a_common_place_is_in_the_caption() -> None:
    assert tabletext.part_text(PART).splitlines() == [
        "Toys (gpu l4, ctx 2048):",
        "",
        "configuration  ms/step  kernels ms  flags",
        "eager static     60.50        50.0  ab",
        "eager dynamic    70.25        51.0  b",
        "graph            50.00        49.0",
        "",
        LEGEND,
        "",
        "--format md shows every column",
    ]


def test_a_narrow_terminal_keeps_the_flags_and_the_first_value() -> None:
    # 13 + 2 + 7 + 2 + 7 (kernels, ms below) + 2 + 5 = 38
    titles = [[column.title for column in shown(PART, width)] for width in (38, 37)]
    assert titles == [
        ["configuration", "ms/step", "kernels ms", "flags"],
        ["configuration", "ms/step", "flags"],
    ]


def shown(part: Part, width: int) -> Sequence[Texts]:
    return fitting([*tabletext.columns(part)], tabletext.expendable(part), width)


def test_a_part_says_what_a_narrow_terminal_does_without() -> None:
    part = Part("toys", "Toys", ROWS, COLUMNS, first=FIRST, expendable=("step_wall_ms",))
    assert tabletext.expendable(part) == ["ms/step"]
    assert tabletext.expendable(PART) == ["kernels ms"]


def test_columns_that_name_a_row_are_shown_where_their_part_asks_for_them() -> None:
    arms = (Column("a", "runtime"), Column("b", "weights"))
    for named, titles in (((), ["gpu", "ms/step"]), (("weights",), ["gpu", "b", "ms/step"])):
        rows = [Arms("l4", "eager", "awq", 3, 60.5), Arms("h200", "graph", "awq", 3, 9.5)]
        part = Part(
            "toys", "Toys", rows, (CELL["gpu"], *arms, SESSIONS, WALL), first=("gpu", "step_wall_ms"), named=named
        )
        assert [column.title for column in shown(part, 120)] == titles


def test_fields_that_no_column_has_may_tell_a_row_from_others() -> None:
    part = Part("toys", "Toys", ROWS, (CELL["gpu"], CELL["runtime"], SESSIONS), first=("gpu", "runtime"))
    assert "eager static" not in tabletext.part_text(part)
    telling = Part("toys", "Toys", part.rows, part.columns, first=part.first, telling=("cache",))
    assert "eager static" in tabletext.part_text(telling)


def test_a_part_without_rows_says_so() -> None:
    assert tabletext.part_text(Part("toys", "Toys", (), COLUMNS, nothing="No toy.")).startswith("No toy.\n")
    assert tabletext.part_text(Part("toys", "Toys", (), COLUMNS)).startswith("Toys: none\n")


def test_the_sentences_are_below_the_parts_each_a_wrapped_item() -> None:
    table = Table(
        name="toys",
        title="Toys",
        columns=COLUMNS,
        rows=lambda _: ROWS,
        parts=lambda _: [PART, Part("more", "More", (), COLUMNS)],
        sentences=lambda _: ["one two three and four five six seven eight"],
        note=lambda _: "A remark.",
        traces=lambda _: ["Sessions of a: b"],
    )
    above, _, below = tabletext.text(table, ROWS, 40).partition("(docs/flags.md)")
    assert below.splitlines() == ["", "", "A remark.", "- one two three and four five six seven", "  eight", "", *MORE]
    assert "More" not in above


@pytest.fixture(scope="module")
def reading() -> Reading:
    asked = Selection.from_options(None, RECORDS, None, None, None)
    return Reading(asked.frame(registry.metrics()), asked.source)


@pytest.mark.slow
@pytest.mark.parametrize("name", [table.name for table in registry.tables()])
def test_each_row_is_identified_and_its_flags_are_shown(name: str, reading: Reading) -> None:
    table = registry.table(name)
    for part in table.grids(table.rows(reading)):
        columns = shown(part, 80)
        looks = [*zip(*(column.texts for column in columns), strict=True)]
        assert len({*looks}) == len(part.rows), part.name
        flagged = [bool(getattr(row, "flags", ())) for row in part.rows]
        marks = next((column.texts for column in columns if column.title == tabletext.FLAGS), [""] * len(flagged))
        assert all(text for text, has_flags in zip(marks, flagged, strict=True) if has_flags), part.name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["floor", *(pytest.param(name, marks=pytest.mark.whole) for name in LATER)])
def test_a_command_prints_its_table_within_the_terminal(name: str, reading: Reading) -> None:
    table = registry.table(name)
    printed = at_terminal(80, name, "--records", str(RECORDS))
    assert printed == tabletext.text(table, table.rows(reading), 80)
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, *(pytest.param(width, marks=pytest.mark.whole) for width in (100, 140))])
def test_choose_fits_into_a_terminal_with_one_value_of_each_row_on_its_first_line(columns: int) -> None:
    printed = at_terminal(columns, "choose", "--records", str(RECORDS))
    table, *_ = printed.split("\n\n")
    assert max(map(len, table.splitlines())) <= columns
    head, *rows = table.splitlines()
    first = [row for row in rows if not row.startswith(" ")]
    end = head.index("ms/step") + len("ms/step")
    assert all(row[end - 1].isdigit() for row in first)
    assert "! suspect: " in printed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["floor", pytest.param("tables", marks=pytest.mark.whole)])
def test_a_terminal_gets_every_column_on_request_and_an_excerpt_without_the_rest(name: str) -> None:
    asked = ("--records", str(RECORDS), "--gpu", "h200")
    chosen = ("--table", "ranges") if name == "tables" else ("--ranges",)
    assert at_terminal(80, name, *chosen, *asked, "--format", "md").startswith("| gpu | runtime | cache |")
    printed = at_terminal(80, name, *chosen, *asked)
    assert printed.startswith("Range and median over each GPU's unquantised cells (gpu h200):\n\nconfiguration ")
    assert printed.endswith("\n\n--format md shows every column\n")
