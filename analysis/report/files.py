"""The files of a report: the page, the tables as Markdown, the sessions of every row, and the figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from analysis import outputs, registry
from analysis.outputs import Files
from analysis.report import page, provenance
from analysis.report.contents import Contents, markdown

PAGE, TABLES = "report.html", "tables.md"
SESSIONS = page.SESSIONS


def files(report: Contents) -> Files:
    """Returns the content of each file by name. The same sessions give the same bytes."""
    drawn = page.pictures(report)
    sessions = provenance.csv(report.sessions)
    return {PAGE: page.html(report, drawn), TABLES: markdown(report), SESSIONS: sessions, **drawings(drawn)}


def drawings(drawn: Mapping[str, bytes]) -> Files:
    """Returns the files of figures by name."""
    return {f"{name}.svg": content for name, content in drawn.items()}


def write(contents: Files, folder: Path) -> None:
    """Writes the files, and deletes figures of an earlier report that this one lacks.

    Raises BadValue if the folder cannot be written, DiskFull if the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for figure in {f"{name}.svg" for name in registry.figure_names()} - contents.keys():
            (folder / figure).unlink(missing_ok=True)
        for name, content in contents.items():
            outputs.write(folder / name, content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise outputs.write_error(error, folder, "folder with --out") from error
