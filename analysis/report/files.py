"""The files of a report: the page, the tables as Markdown, the sessions of every row, and the figures."""

from __future__ import annotations

from pathlib import Path

from analysis import outputs, registry
from analysis.outputs import Files
from analysis.report import page, provenance
from analysis.report.contents import Contents, markdown

PAGE, TABLES = "report.html", "tables.md"
SESSIONS = page.SESSIONS


def files(found: Contents) -> Files:
    """Returns the content of each file by its name; the same sessions give the same bytes."""
    drawn = page.pictures(found)
    pictures = {f"{name}.png": content for name, content in drawn.items()}
    sessions = provenance.csv(found.sessions)
    return {PAGE: page.html(found, drawn), TABLES: markdown(found), SESSIONS: sessions, **pictures}


def write(made: Files, folder: Path) -> None:
    """Writes the files, and removes figures of an earlier report that this one has not. Raises BadValue where the
    folder cannot be written, DiskFull."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for figure in {f"{name}.png" for name in registry.figure_names()} - made.keys():
            (folder / figure).unlink(missing_ok=True)
        for name, content in made.items():
            outputs.write(folder / name, content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise outputs.unwritten(error, folder, "folder with --out") from error
