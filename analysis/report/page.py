"""The page: one HTML file that loads nothing, with the figures in it."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from analysis.figures import style
from analysis.form import titles
from analysis.report import derived, provenance, section, words
from analysis.report.contents import Contents
from analysis.tables import floor

FOLDER = Path(__file__).parent / "page"
SESSIONS = "sessions.csv"
"""The file beside the page that names all sessions."""


def html(found: Contents, pictures: dict[str, bytes]) -> str:
    """Returns the page; `pictures` has the figures' PNGs by name."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,  # whatever stands in a store may have been written by others
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["code"] = code
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=_digest(script),
        pictures={name: base64.b64encode(content).decode() for name, content in pictures.items()},
        figures={one.name: one for one in found.figures},
        **_told(found),
        **_tables(found),
        **_origins(found),
    )


def code(text: str) -> Markup:
    """Returns words between backticks as code, and all of it escaped."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )


def _digest(script: str) -> str:
    """Returns the hash by which the page's policy knows its own script: no other runs, should one get into the page."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _told(found: Contents) -> dict[str, Any]:
    sessions = found.frame.sessions
    return {
        "source": found.shown,
        "filters": found.told,
        "answers": found.answers,
        "sessions": sessions.height,
        "cells": sessions["cell_key"].n_unique(),
        "gpus": sorted({row.gpu for row in found.of(floor.TABLE)}),
        "began": provenance.day(min(sessions["started_ms"])),
        "ended": provenance.day(max(sessions["finished_ms"])),
        "superseded": sum(row.superseded for row in found.of(floor.TABLE)),
        "notes": found.frame.notes,
        "left_out": found.left_out,
    }


def _tables(found: Contents) -> dict[str, Any]:
    return {
        "sections": section.sections(found.rows),
        "invalid": _invalid(found),
        "glossary": section.glossary(),
        "flags": words.flags(found.rows),
    }


def _invalid(found: Contents) -> list[dict[str, Any]]:
    names = titles(found.others, floor.CELL_FIELDS, floor.MORE_FIELDS)
    return [{"row": row, "name": name} for name, row in zip(names, found.others, strict=True)]


def _origins(found: Contents) -> dict[str, Any]:
    own = found.frame.sessions["env_key"].drop_nulls().value_counts()
    counts = dict(own.iter_rows())
    return {
        "origins": list(provenance.origins(found.sessions, found.frame.ab_runs)),
        "derived": derived.ranges(found.of(floor.TABLE)),
        "from_files": bool(found.frame.record_files),
        "sessions_file": SESSIONS,
        "first": provenance.FIRST,
        "too_long": provenance.is_too_long(found.sessions),
        "environments": {
            key: {"sessions": counts[key], "versions": found.frame.environments[key]} for key in sorted(counts)
        },
    }


def pictures(found: Contents) -> dict[str, bytes]:
    """Returns the figures as PNG, by name."""
    return {one.name: style.png(one) for one in found.figures}
