"""Check of the spelling of a store's URI, with the correct spelling in the error."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, unquote

from runner.cell.vocabulary import suggestion
from runner.errors import BadValue
from runner.store import address
from runner.store.look import database

OTHER_SCHEMES = ("http", "https", "file", "databricks", "databricks-uc", "uc")
WITH_A_HOST = ("http", "https", *(scheme for scheme in database.SCHEMES if scheme != "sqlite"))
_AROUND = " \t\r\n'\""
_SQLITE = re.compile(r"sqlite(?:\+\w+)?:(?P<slashes>/*)(?P<rest>.*)", re.DOTALL)


def check(uri: str) -> None:
    """Raises BadValue for a URI that MLflow does not support or would misread."""
    if (bare := uri.strip(_AROUND)) != uri:
        write = f"write {address.masked_uri(bare)}" if bare else "unset it, or name a store"
        raise BadValue(
            f"the URI of the MLflow store, {address.masked_uri(uri)!r}, has blanks or quotes around it: {write}"
        )
    address.check_is_uri(uri)
    address.check_password(uri)
    scheme, separator, rest = uri.partition(":")
    if separator:
        _check_kind(uri, scheme)
        _check_slashes(uri, scheme, rest)


def _check_kind(uri: str, scheme: str) -> None:
    known = (*database.SCHEMES, *OTHER_SCHEMES)
    plain = scheme.partition("+")[0]
    if plain not in known and scheme not in _plugins():
        raise BadValue(
            f"{address.masked_uri(uri)} is not the URI of any kind of MLflow store{suggestion(plain.lower(), known)} "
            "(such as sqlite:///FILE, postgresql://… or http://HOST:PORT)"
        )


def _check_slashes(uri: str, scheme: str, rest: str) -> None:
    if (match := _SQLITE.fullmatch(uri)) is not None:
        _check_sqlite(uri, match["slashes"], match["rest"])
    elif scheme.partition("+")[0] in WITH_A_HOST and not rest.startswith("//"):
        # the URI may contain a password that cannot be located without slashes
        raise BadValue(f"{scheme}:… is not the URI of an MLflow store: write {scheme}://HOST…, with two slashes")


def _check_sqlite(uri: str, slashes: str, rest: str) -> None:
    if len(slashes) < 3 and rest:  # a URI without a file is a database in memory
        path = "FILE" if "@" in rest else f"/{rest}" if len(slashes) == 1 else rest
        raise BadValue(
            f"{address.masked_uri(uri)} is not the URI of an SQLite file: write {address.SQLITE}{path}, with three "
            "slashes and a fourth if the path begins with one"
        )
    if len(slashes) == 3 and rest.startswith("~"):
        path, mark, query = rest.partition("?")
        expanded = quote(os.path.expanduser(unquote(path)))
        raise BadValue(
            f"{address.masked_uri(uri)} would be in a folder named {path.partition('/')[0]}: write "
            f"{address.SQLITE}{expanded}{mark}{query}"
        )


def _plugins() -> set[str]:
    from importlib import metadata  # slow to import and rarely needed

    return {entry.name for entry in metadata.entry_points(group="mlflow.tracking_store")}
