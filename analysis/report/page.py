"""The page: one self-contained HTML file that includes the figures."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from analysis.figures.svg import svg
from analysis.form import titles
from analysis.report import derived, grid, provenance, section, words
from analysis.report.contents import Contents
from analysis.table import FILTERS
from analysis.tables import floor
from runner.counts import counted

FOLDER = Path(__file__).parent / "page"
LONG = 8
"""Characters from which a word with a hyphen may be broken on a small screen."""
SESSIONS = "sessions.csv"
"""The file beside the page that lists all sessions."""


def html(report: Contents, pictures: dict[str, bytes]) -> str:
    """Returns the page. `pictures` has the figures as SVG by name."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,  # texts of a store may come from others
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["code"] = code
    environment.filters["before_brackets"] = before_brackets
    environment.filters["unbroken"] = unbroken
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=_digest(script),
        pictures={name: Markup(content.decode()) for name, content in pictures.items()},
        figures={figure.name: figure for figure in report.figures},
        **_head(report),
        **_tables(report),
        **_origins(report),
    )


def code(text: str) -> Markup:
    """Returns the text escaped, words between backticks as code, and no line break before a percent sign."""
    parts = [escape(part) for part in re.sub(r"(?<=\d) %", "\u00a0%", text).split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )


def before_brackets(text: str) -> Markup:
    """Returns the text escaped, with a possible line break before each bracket: `1.42` and `[1.40–1.43]`."""
    return Markup(re.sub(r" (?=[\[(])", " <wbr>", str(escape(text))))


def unbroken(text: str) -> Markup:
    """Returns the text escaped, with each word that has a hyphen in a span; a class marks the `long` ones."""
    return Markup(re.sub(r"\S+-\S+", _span, str(escape(text))))


def _span(word: re.Match[str]) -> str:
    mark = ' class="long"' if len(word[0]) > LONG else ""
    return f"<span{mark}>{word[0]}</span>"


def _digest(script: str) -> str:
    """Returns the hash of the page's script for its content security policy, which blocks every other script."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _head(report: Contents) -> dict[str, Any]:
    sessions, every = report.frame.sessions, report.frame.every
    superseded = sum(row.superseded for row in report.rows_of(floor.TABLE))
    return {
        "source": report.source,
        "filters": report.filters,
        "answers": report.answers,
        "sessions": counted(sessions.height, "session"),
        "cells": counted(sessions["cell_key"].n_unique(), "cell"),
        "gpus": report.gpus,
        "began": provenance.day(min(every["started_ms"])),
        "ended": provenance.day(max(every["finished_ms"])),
        "superseded": counted(superseded, "session of older code is", "sessions of older code are")
        if superseded
        else "",
        "notes": report.frame.notes,
        "left_out": report.left_out,
    }


def _tables(report: Contents) -> dict[str, Any]:
    sections = section.sections(report.rows)
    return {
        "sections": sections,
        "filter_boxes": section.filter_boxes(sections),
        "invalid": _invalid(report),
        "glossary": section.glossary(),
        "flags": words.flags(report.rows),
    }


def _invalid(report: Contents) -> list[dict[str, Any]]:
    names = titles(report.invalid, floor.CELL_FIELDS, floor.MORE_FIELDS)
    return [
        {"row": row, "name": name, "filters": grid.filters(row, FILTERS)}
        for name, row in zip(names, report.invalid, strict=True)
    ]


def _origins(report: Contents) -> dict[str, Any]:
    environment_counts = report.frame.every["env_key"].drop_nulls().value_counts()
    counts = dict(environment_counts.iter_rows())
    origins = list(provenance.origins(report.sessions, report.frame.ab_runs))
    names = {origin.anchor: origin.name for origin in origins}
    return {
        "origins": origins,
        "derived": [*derived.ranges(report.rows_of(floor.TABLE)), *derived.derived(report.rows, names)],
        "from_files": bool(report.frame.record_files),
        "sessions_file": SESSIONS,
        "first": provenance.FIRST,
        "too_long": provenance.is_too_long(report.sessions),
        "environments": {
            key: {"sessions": counts[key], "versions": report.frame.environments[key]} for key in sorted(counts)
        },
    }


def pictures(report: Contents) -> dict[str, bytes]:
    """Returns the figures as SVG by name."""
    return {figure.name: svg(figure) for figure in report.figures}
