"""Check that the schema of a database is that of the installed MLflow.

MLflow migrates some older schemas without a message, and a migration cannot be undone.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from runner.errors import BadRecord, StoreUnreachable
from runner.store.look import refusals

MLFLOW_TABLES = frozenset({"experiments", "runs"})
"""Tables of every version of MLflow, which identify its databases."""
_REVISION = re.compile(r"^revision\s*=\s*['\"](\w+)['\"]", re.MULTILINE)
_DOWN_REVISION = re.compile(r"^down_revision\s*=\s*['\"](\w+)['\"]", re.MULTILINE)
_VERSION = re.compile(r"^VERSION\s*=\s*['\"]([^'\"]+)['\"]", re.MULTILINE)


@dataclass(frozen=True)
class InstalledSchema:
    """Version of the installed MLflow, the revision of its schema, and all earlier revisions."""

    version: str
    newest: str
    older: frozenset[str]


@cache
def installed() -> InstalledSchema | None:
    """Reads the schema from the files of the installed MLflow, without an import; None if they do not state it."""
    spec = importlib.util.find_spec("mlflow")
    if spec is None or not spec.submodule_search_locations:
        return None
    package = Path(spec.submodule_search_locations[0])
    texts = [path.read_text(encoding="utf-8") for path in package.glob("store/db_migrations/versions/*.py")]
    revisions = {revision for text in texts for revision in _REVISION.findall(text)}
    older = {revision for text in texts for revision in _DOWN_REVISION.findall(text)}
    version = _VERSION.search((package / "version.py").read_text(encoding="utf-8"))
    newest = revisions - older
    if len(newest) != 1 or version is None:
        return None
    return InstalledSchema(version[1], newest.pop(), frozenset(older))


def check(public_uri: str, tables: Collection[str], revision: str | None, only_read: bool) -> None:
    """Checks the names of the tables, and their schema's `revision`.

    Raises StoreUnreachable for a schema of another version of MLflow. Raises StoreUnreachable for a database with other
    tables, or BadRecord if it is `only_read`. Raises BadRecord for an empty database that is `only_read`.
    """
    if not only_read and not tables:
        return
    if not set(tables) >= MLFLOW_TABLES:
        if only_read:
            raise BadRecord(no_store_text(public_uri, is_empty=not tables))
        raise StoreUnreachable(
            f"there is no MLflow store in {public_uri}, a database of another program: set MLFLOW_TRACKING_URI to a "
            "store"
        )
    here = installed()
    if here is None or revision == here.newest:
        return
    if revision in here.older or revision is None:
        raise StoreUnreachable(_older_text(public_uri, revision, here))
    raise StoreUnreachable(
        f"the MLflow store {public_uri} has the unknown schema {revision} of another, most likely newer MLflow; "
        f"MLflow {here.version} here has the schema {here.newest}: use the MLflow that made it, or copy it and upgrade "
        "the copy with a newer MLflow: `mlflow db upgrade URI-OF-THE-COPY`"
    )


def _older_text(public_uri: str, revision: str | None, here: InstalledSchema) -> str:
    return (
        f"the MLflow store {public_uri} has the schema {revision or 'unknown'} of an older MLflow; MLflow "
        f"{here.version} here has the schema {here.newest}: keep a copy and upgrade it with `mlflow db upgrade "
        f"{public_uri}`, which cannot be undone, or use the MLflow that made it"
    )


def no_store_text(public_uri: str, is_empty: bool) -> str:
    """Returns the message for a database without MLflow's tables."""
    if is_empty:
        return (
            f"there is no MLflow store in {public_uri} yet, the database is empty: `python -m runner import` fills it "
            f"with records, or name another store in {refusals.URI}"
        )
    return f"there is no MLflow store in {public_uri}, a database of another program: name a store in {refusals.URI}"
