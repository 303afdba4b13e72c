"""Root of an experiment's artifacts, and the check that this host can write there."""

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
"""URI scheme → package that MLflow imports for it."""


def is_proxied(root: str) -> bool:
    """Returns whether artifacts are transferred through the MLflow server."""
    return root.startswith(f"{PROXIED}:")


def path_of(root: str) -> Path | None:
    """Returns the folder of a root; None if the root is not in a file system."""
    parts = urlsplit(root)
    if parts.scheme not in ("", "file"):
        return None
    return Path(unquote(parts.path) if parts.scheme else root)


def needs_server_text(public_uri: str, root: str) -> str:
    """Returns the message for a store that is opened without the server that has its artifacts."""
    return (
        f"the experiment in the MLflow store {public_uri} keeps its artifacts behind an MLflow server ({root}): set "
        "MLFLOW_TRACKING_URI to that server's address (http://…), or MLFLOW_EXPERIMENT_NAME to another name"
    )


def default_root(uri: str) -> str:
    """Returns the artifact root of a new experiment of a database: beside an SQLite file, or in the working folder."""
    file = address.sqlite_file(uri)
    beside = Path.cwd() if file is None else Path(os.path.realpath(file)).parent
    return os.environ.get(artifacts.ROOT_VARIABLE) or str(beside / artifacts.ROOT)


def check(uri: str, root: str) -> None:
    """Raises StoreUnreachable or MissingPackage if this host cannot write artifacts of a database to the root."""
    public_uri = address.masked_uri(uri)
    if is_proxied(root):
        raise StoreUnreachable(needs_server_text(public_uri, root))
    if (folder := path_of(root)) is not None:
        check_writable(artifacts.corrected_place(uri, folder), public_uri)
    check_packages(root)


def check_writable(folder: Path, public_uri: str) -> None:
    """Raises StoreUnreachable if the folder cannot be written or created on this host."""
    if (error := writable.obstacle(folder)) is not None:
        raise StoreUnreachable(
            f"the experiment in the MLflow store {public_uri} keeps its artifacts in {folder}, which cannot be written "
            f"from here ({error.filename}: {error.strerror}): {failures.remedy(error)}, or set MLFLOW_EXPERIMENT_NAME "
            "to another experiment"
        ) from error


def check_packages(root: str) -> None:
    """Raises MissingPackage if the package for the root's scheme is not installed."""
    scheme = urlsplit(root).scheme
    package = PACKAGES.get(scheme)
    if package is not None and not _is_installed(package):
        raise MissingPackage(
            f"artifacts of this store are kept at {scheme}://…, for which {sys.executable} lacks the package "
            f"{package}: install it, or keep the records (`python -m runner cell --spool DIR`) and import them where "
            "it is installed"
        )


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the parent package is missing
        return False
