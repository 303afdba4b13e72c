"""The contents of a report: its source, without the folders above it, and what is left out."""

import pytest

from analysis.report import contents
from tests.support.pages import html_of
from tests.support.records import example_record
from tests.support.reports import contents_of, write_records


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("/data/acme/spool", "spool"),
        ("experiments/records", "experiments/records"),
        ("sqlite:////data/acme/mlflow.db", "sqlite:///mlflow.db"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("postgresql://me:***@db.example/mlflow", "postgresql://me:***@db.example/mlflow"),
    ],
)
def test_a_page_names_its_source_without_the_folders_above_it(source, shown):
    assert contents.published(source) == shown


@pytest.mark.medium
def test_nor_do_the_lines_of_what_is_left_out_name_them(tmp_path):
    folder = write_records(tmp_path / "acme" / "spool", [example_record()])
    (folder / "cut.json").write_text("{")
    shown = html_of(contents_of(folder))
    assert "spool/cut.json" in shown
    assert str(tmp_path) not in shown


@pytest.mark.medium
def test_valid_and_invalid_groups_are_the_two_halves_of_the_floor_table(kinds):
    assert {row.valid for row in kinds.valid} == {True}
    assert {(row.valid, row.status) for row in kinds.invalid} == {(False, "measured"), (False, "oom")}
    assert len(kinds.valid) + len(kinds.invalid) == len(kinds.rows["floor"])


@pytest.mark.medium
def test_a_table_without_rows_says_in_markdown_what_is_missing(kinds):
    assert kinds.rows["graphs"] == []
    text = contents.markdown(kinds)
    heading = "## Graphs: gain of CUDA Graphs and of the fused kernel"
    assert f"{heading}\n\nSo far no A/B between runtimes was measured: run " in text
    assert text.startswith("# Tables\n\n## Floor: distance of each cell from its memory floor\n\n| gpu |")
