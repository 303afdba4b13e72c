"""A table is one file: whatever lies in `analysis.tables` has a command, texts, a section and a glossary."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from analysis import cli, registry, tables
from analysis.abrow import Summary
from analysis.choose.chooserow import ChooseRow
from analysis.form import Column
from analysis.reading import Reading
from analysis.report import contents, files, page
from analysis.sources.selection import Selection
from analysis.table import SHOWN
from analysis.tables import _budgetrow, _differencerow, _quantrows
from analysis.tables._claimrow import EvidenceRow, VerdictRow
from analysis.tables._floorrow import FloorRow
from analysis.tables._ranges import RangeRow
from analysis.tables._verdict import CheckRow
from analysis.tables.graphs import GraphsRow
from tests.support.records import example_record, failed_record, packed_record
from tests.support.reports import every_kind, write_records

TOY = '''
"""Toys: steps in dog years."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis import groups
from analysis.choose.chooserow import ChooseRow
from analysis.form import Column
from analysis.reading import Reading
from analysis.row import Row
from analysis.table import Figure, Part, Table


@dataclass(frozen=True)
class ToyRow(Row):
    gpu: str
    runtime: str
    dog_ms: float
    flags: list[str]


def rows(reading: Reading) -> list[ToyRow]:
    found = [group for group in groups.rows(reading.frame, ("step_wall_ms",)) if group.valid]
    return [ToyRow(group.gpu, group.runtime, 7 * group.wall_ms, ["toy-flag"]) for group in found]


def draw(table, reading):
    from analysis.figures import style

    figure = style.canvas(1.0)
    figure.subplots().plot([row.dog_ms for row in table])
    return style.Drawn("toys", "Toys", "Steps in dog years.", figure)


TABLE = Table(
    name="toy-years",
    title="Steps in dog years",
    columns=(
        Column("gpu", "gpu"),
        Column("runtime", "runtime"),
        Column("dog ms", "dog_ms", ".1f", unit="ms", help="a step, seven times as long"),
    ),
    rows=rows,
    metrics=("step_wall_ms",),
    sentences=lambda table: [f"{len(table)} toys were counted"],
    figures=(Figure("toys", draw),),
)
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A table in a folder of its own, and beside it a module that is none."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "toys.py").write_text(TOY)
    (tmp_path / "tables" / "_toybox.py").write_text("raise AssertionError('no table')\n")
    monkeypatch.setattr(tables, "__path__", [*tables.__path__, str(tmp_path / "tables")])
    yield
    sys.modules.pop("analysis.tables.toys", None)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return write_records(tmp_path / "records", [example_record(step_ms=36.0), packed_record(), failed_record("oom")])


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(cli.main, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.medium
@pytest.mark.usefixtures("toy")
def test_a_table_that_is_one_file_has_a_command_in_every_form(records: Path) -> None:
    from_records = ("--records", str(records))
    assert re.search(r"^  toy-years +Steps in dog years\.$", printed("--help"), re.MULTILINE)
    lines = printed("toy-years", *from_records).splitlines()
    assert lines[0] == "| gpu | runtime | dog ms |"
    assert "| h200 | eager | 252.0 |" in lines  # 7 · 36
    assert lines[-1] == "- 2 toys were counted"
    first, *_ = csv.DictReader(io.StringIO(printed("toy-years", *from_records, "--format", "csv")))
    assert first.keys() == {"gpu", "runtime", "dog_ms", "flags"}
    found = json.loads(printed("toy-years", *from_records, "--format", "json"))
    assert [row["flags"] for row in found] == [["toy-flag"], ["toy-flag"]]
    figure = records.parent / "toys.svg"
    printed("toy-years", *from_records, "--figure", str(figure))
    assert figure.read_bytes().startswith(b"<svg ")


@pytest.mark.medium
@pytest.mark.usefixtures("toy")
def test_mlflows_entry_knows_it_too(records: Path) -> None:
    assert printed("tables", "--table", "toy-years", "--records", str(records)).startswith("| gpu | runtime | dog ms |")
    done = CliRunner().invoke(cli.main, ["tables", "--table", "nonsense", "--records", str(records)])
    assert "launches, toy-years, report)" in str(done.exception)


@pytest.mark.medium
@pytest.mark.usefixtures("toy")
def test_a_report_has_its_section_figure_glossary_and_flags(records: Path) -> None:
    found = contents.contents(Selection.from_options(None, records, None, None, None))
    made = files.files(found)
    html = str(made[files.PAGE])
    assert '<li><a href="#toy-years">Steps in dog years</a></li>' in html
    assert '<section id="toy-years">\n<h2>Steps in dog years</h2>' in html
    assert '<table id="table-toy-years">' in html
    assert '<figure id="figure-toys">' in html
    assert "<li>2 toys were counted</li>" in html
    assert "<dt>dog ms</dt>\n<dd>a step, seven times as long [ms]</dd>" in html
    assert "<dt>toy-flag</dt>" in html
    assert "\n## Toy-years: steps in dog years\n\n| gpu | runtime | dog ms |" in str(made[files.TABLES])
    assert "toys.svg" in made


@pytest.mark.medium
def test_without_the_file_nothing_of_it_is_left(records: Path) -> None:
    assert "toy-years" not in registry.choices()
    found = contents.contents(Selection.from_options(None, records, None, None, None))
    assert "toy" not in page.html(found, page.pictures(found))


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    """What every table reads of records of every kind."""
    asked = Selection.from_options(
        None, write_records(tmp_path_factory.mktemp("kinds"), every_kind()), None, None, None
    )
    return Reading(asked.frame(registry.metrics()), asked.source)


@pytest.mark.medium
@pytest.mark.parametrize("name", [table.name for table in registry.tables()])
def test_what_a_table_declares_is_what_its_rows_have(name: str, readings: Reading) -> None:
    table = registry.table(name)
    rows = table.rows(readings)
    assert all(is_dataclass(row) and list(row.to_json()) == [each.name for each in fields(row)] for row in rows)
    for part in table.grids(rows):
        keys = {column.key for column in part.columns}
        assert {part.count, *part.by_number} <= keys
        assert {*part.first} <= keys | {column.key for column in table.columns}  # some are only shown if rows differ
        assert keys & {*part.linked}
        assert len(part.first) <= SHOWN
        for row in part.rows:
            assert all(isinstance(column.text(row), str) for column in part.columns)  # each key is there


@pytest.mark.parametrize("name", [table.name for table in registry.tables()])
def test_every_column_of_a_table_says_what_it_means(name: str) -> None:
    columns: tuple[Column, ...] = registry.table(name).columns
    assert [column.title for column in columns if not column.help] == []
    assert [column.title for column in columns if column.title.split()[-1] in ("ms", "GB") and not column.unit] == []


KINDS = {
    "floor": FloorRow,
    "ranges": RangeRow,
    "choose": ChooseRow,
    "graphs": GraphsRow,
    "quant": _quantrows.QuantRow,
    "quant, without a saving": _quantrows.GroupRow,
    "quant, the paper's": _quantrows.PaperRow,
    "budget": _budgetrow.BudgetRow,
    "budget, without terms": _budgetrow.GroupRow,
    "paper": CheckRow,
    "claims": VerdictRow,
    "claims, their tests": EvidenceRow,
    "differences": _differencerow.SplitRow,
    "differences, contrasts": _differencerow.ContrastRow,
    "differences, derived": _differencerow.DerivedRow,
    "differences, conditions": _differencerow.ConditionRow,
    "differences, launches": _differencerow.LaunchRow,
    "ab": Summary,
}


def test_the_keys_of_json_and_csv_are_those_that_readers_know() -> None:
    """Whoever reads `--format json` relies on them: a change of the file is a change of the format."""
    pinned = json.loads((Path(__file__).parents[1] / "golden" / "table_keys.json").read_text())
    assert {name: [each.name for each in fields(kind)] for name, kind in KINDS.items()} == pinned


def test_the_tables_stand_in_the_order_of_reports_with_their_excerpts() -> None:
    tables = ["floor", "choose", "graphs", "quant", "budget", "paper", "claims", "differences"]
    assert [table.name for table in registry.tables()] == tables
    assert {*registry.choices()} - {*tables} == {
        *("ranges", "evidence", "contrasts", "derived", "conditions", "launches")
    }
