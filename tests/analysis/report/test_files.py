"""The files of a report: the same bytes each time, whole or not at all."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis import registry
from analysis.report import files
from analysis.report.contents import Contents
from runner.errors import BadValue
from tests.support.reports import contents_of


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes(kinds: Contents, kinds_folder: Path) -> None:
    assert files.files(kinds) == files.files(contents_of(kinds_folder))


@pytest.mark.medium
def test_the_folder_has_page_tables_and_the_figures_of_this_report_only(tmp_path: Path, kinds: Contents) -> None:
    (tmp_path / "graphs.svg").write_bytes(b"of an earlier report")
    (tmp_path / "mine.svg").write_bytes(b"somebody's")
    made = files.files(kinds)
    files.write(made, tmp_path)
    # no A/B, no two cells with three sessions each, and no cell at two context lengths
    empty = {"graphs", "floor-steps", "floor-context"}
    drawn = {f"{name}.svg" for name in registry.figure_names() if name not in empty}
    made_here = {"report.html", "tables.md", "sessions.csv"}
    assert {path.name for path in tmp_path.iterdir()} == {*made_here, "mine.svg"} | drawn
    text = (tmp_path / "tables.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Floor: distance of each cell from its memory floor",
        "## Choose: configurations that meet a deadline",
        "## Graphs: gain of CUDA Graphs and of the fused kernel",
        "## Quant: savings of quantised weights",
        "## Budget: gap budget of a step",
        "## Paper: figures of arXiv 2605.30571 beside ours",
        "## Claims: claims of arXiv 2605.30571 in the records",
        "## Differences: why our steps differ from those of arXiv 2605.30571",
    ]


@pytest.fixture
def _little_space() -> Iterator[None]:
    """No file may grow longer than 4 KiB, as on a disk that fills up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("_little_space")
@pytest.mark.parametrize("earlier", [None, b"earlier"])
def test_a_file_that_does_not_fit_is_not_there_by_half(tmp_path: Path, earlier: bytes | None) -> None:
    file = tmp_path / "out" / "report.html"
    file.parent.mkdir()
    if earlier:
        file.write_bytes(earlier)
    with pytest.raises(BadValue, match="out cannot be written"):
        files.write({"report.html": b"x" * 10_000}, file.parent)
    assert [path.read_bytes() for path in file.parent.iterdir()] == ([earlier] if earlier else [])
