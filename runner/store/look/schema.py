"""The schema of a database: whether MLflow here and the MLflow that made the tables are of one version.

MLflow by itself brings some older tables up to date without a word, and there is no way back.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from runner.errors import BadRecord, StoreUnreachable

MLFLOW_TABLES = frozenset({"experiments", "runs"})
"""Some that every version of MLflow has made; it is enough to tell its databases from others."""
_REVISION = re.compile(r"^revision\s*=\s*['\"](\w+)['\"]", re.MULTILINE)
_BEFORE = re.compile(r"^down_revision\s*=\s*['\"](\w+)['\"]", re.MULTILINE)
_VERSION = re.compile(r"^VERSION\s*=\s*['\"]([^'\"]+)['\"]", re.MULTILINE)


@dataclass(frozen=True)
class Known:
    """MLflow's version here, the revision of its tables, and the revisions of before."""

    version: str
    newest: str
    older: frozenset[str]


@cache
def known() -> Known | None:
    """Read off the files of the installed MLflow, without an import; None where they do not tell."""
    spec = importlib.util.find_spec("mlflow")
    if spec is None or not spec.submodule_search_locations:
        return None
    package = Path(spec.submodule_search_locations[0])
    texts = [path.read_text(encoding="utf-8") for path in package.glob("store/db_migrations/versions/*.py")]
    own = {found for text in texts for found in _REVISION.findall(text)}
    older = {found for text in texts for found in _BEFORE.findall(text)}
    version = _VERSION.search((package / "version.py").read_text(encoding="utf-8"))
    newest = own - older
    if len(newest) != 1 or version is None:
        return None
    return Known(version[1], newest.pop(), frozenset(older))


def check(shown: str, tables: Collection[str], revision: str | None, only_read: bool) -> None:
    """Raises StoreUnreachable for a database of something else, which is no place for MLflow's tables, and for tables
    of another version; BadRecord where one is `only_read` that has none. `revision` is the tables' own."""
    if not only_read and not tables:
        return
    if not set(tables) >= MLFLOW_TABLES:
        if only_read:
            raise BadRecord(no_store_text(shown, is_empty=not tables))
        raise StoreUnreachable(
            f"there is no MLflow store in {shown} but a database of something else: set MLFLOW_TRACKING_URI to another"
        )
    here = known()
    if here is None or revision == here.newest:
        return
    if revision in here.older or revision is None:
        raise StoreUnreachable(_older_text(shown, revision, here))
    raise StoreUnreachable(
        f"the MLflow store {shown} has tables with the schema {revision} of another MLflow, which is not known here "
        f"and most likely newer: that of MLflow {here.version} here is {here.newest}: use the MLflow that made it, or "
        "copy it and with a newer MLflow bring the copy up to date with `mlflow db upgrade URI-OF-THE-COPY`"
    )


def _older_text(shown: str, revision: str | None, here: Known) -> str:
    return (
        f"the MLflow store {shown} has tables with the schema {revision or 'unknown'} of an older MLflow, that of "
        f"MLflow {here.version} here is {here.newest}, and there is no way back: keep a copy and bring it up to date "
        f"with `mlflow db upgrade {shown}`, or use the MLflow that made it"
    )


def no_store_text(shown: str, is_empty: bool) -> str:
    """The words for a database without MLflow's tables."""
    if is_empty:
        return (
            f"there is no MLflow store in {shown} yet, the database is empty: `python -m runner import` brings records "
            "in, or name another with --store or MLFLOW_TRACKING_URI"
        )
    return (
        f"there is no MLflow store in {shown} but a database of something else: name another with --store or "
        "MLFLOW_TRACKING_URI"
    )
