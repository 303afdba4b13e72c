"""Finds where an experiment keeps its artifacts, and whether they can be written there from here."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from runner import failures
from runner.errors import MissingPackage, StoreUnreachable
from runner.store import address, artifacts
from runner.store.look import writable

PROXIED = "mlflow-artifacts"
PACKAGES = {
    "s3": "boto3",
    "gs": "google.cloud.storage",
    "wasb": "azure.storage.blob",
    "wasbs": "azure.storage.blob",
    "abfss": "azure.storage.filedatalake",
    "hdfs": "pyarrow",
    "sftp": "pysftp",
}
"""What MLflow imports for a scheme."""


def is_proxied(root: str) -> bool:
    """Do they go through MLflow's server?"""
    return root.startswith(f"{PROXIED}:")


def path_of(root: str) -> Path | None:
    """The folder, None where it is not one of a file system."""
    parts = urlsplit(root)
    if parts.scheme not in ("", "file"):
        return None
    return Path(unquote(parts.path) if parts.scheme else root)


def needs_server_text(shown: str, root: str) -> str:
    """The words for artifacts behind a server, in a store that is opened without one."""
    return (
        f"the experiment in the MLflow store {shown} keeps its artifacts behind an MLflow server ({root}): set "
        "MLFLOW_TRACKING_URI to that server's address (http://…), or MLFLOW_EXPERIMENT_NAME to another name"
    )


def usual(uri: str) -> str:
    """Returns where a new experiment of a database has its artifacts: beside an SQLite file, else in the working
    folder."""
    file = address.sqlite_file(uri)
    beside = Path.cwd() if file is None else Path(os.path.realpath(file)).parent
    return os.environ.get(artifacts.ROOT_VARIABLE) or str(beside / artifacts.ROOT)


def check(uri: str, root: str) -> None:
    """Raises StoreUnreachable or MissingPackage where artifacts of a database cannot be written there from here."""
    shown = address.shown(uri)
    if is_proxied(root):
        raise StoreUnreachable(needs_server_text(shown, root))
    if (folder := path_of(root)) is not None:
        check_writable(artifacts.settled_place(uri, folder), shown)
    check_packages(root)


def check_writable(folder: Path, shown: str) -> None:
    """Raises StoreUnreachable where the folder is not here and cannot be made, or not be written."""
    if (error := writable.obstacle(folder)) is not None:
        raise StoreUnreachable(
            f"the experiment in the MLflow store {shown} keeps its artifacts in {folder}, which cannot be written from "
            f"here ({error.filename}: {error.strerror}): {failures.remedy(error)}, or set MLFLOW_EXPERIMENT_NAME to "
            "another experiment"
        ) from error


def check_packages(root: str) -> None:
    """Raises MissingPackage where the package that reaches them is not installed."""
    scheme = urlsplit(root).scheme
    package = PACKAGES.get(scheme)
    if package is not None and not _is_installed(package):
        raise MissingPackage(
            f"artifacts of this store are kept at {scheme}://…, for which {sys.executable} lacks the package "
            f"{package}: install it, or use --spool DIR and import where it is"
        )


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # of the package above it
        return False
