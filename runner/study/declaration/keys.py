"""The keys of a study file, each with its description, and the limits of their values."""

from __future__ import annotations

from collections.abc import Mapping

KEYS: Mapping[str, str] = {
    "name": "name of the study, which its sessions carry; default: the file's name without .yaml",
    "description": "what the study measures, for its readers",
    "sessions": "sessions of each cell, or valid sessions of each arm; default: 3, with arms 10",
    "extension": "additional sessions of each arm if the interval is wide, declared before the first session; default: "
    "0; only with arms",
    "order": "interleaved: one session of each cell in turn, instead of all sessions of a cell one after another; only "
    "without arms",
    "protocol": "protocol of all sessions; default: paper",
    "matrix": "fields of a request, each with a value or a list of values: every combination is a cell",
    "include": "further cells: a list of mappings, each a matrix of its own; a field that it does not name has the "
    "matrix's value if that is only one, otherwise auto",
    "exclude": "cells of the matrix to leave out: a list of mappings; a mapping matches the cells that have one of its "
    "values in each of its fields",
    "arms": "makes every cell an A/B: arms a and b each set one field, the same field to different values; empty "
    "mappings compare a cell with itself",
}
BY_CELL, INTERLEAVED = "by-cell", "interleaved"
ORDERS = (BY_CELL, INTERLEAVED)
SESSIONS, SESSIONS_OF_AN_ARM = 3, 10
MOST_SESSIONS = 10_000
LONGEST_NAME = 100
"""Length of a name that still fits into file names (255 bytes)."""
