"""The settings of the sessions of a command, from its options."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import click

from runner import store
from runner.errors import MissingPackage, StoreUnreachable
from runner.launch.session import Commit, Display, Settings
from runner.record.spool import DEFAULT_SPOOL


def session_settings(
    run: store.EntryRun | None, spool: Path | None, share_host: bool, timeout_s: float | None, shown: Display
) -> Settings:
    """Returns the settings of a command's sessions: without `spool` they are committed to the store.

    Raises MissingPackage without MLflow, which is imported only after the measurement. Warns if the store cannot take a
    session.
    """
    commit = None if spool is not None and run is None else _commit(run)
    return Settings(spool or DEFAULT_SPOOL, commit, run, share_host, timeout_s, shown)


def _commit(run: store.EntryRun | None) -> Commit:
    """Returns the function that commits a session to MLflow.

    Raises MissingPackage without MLflow, which is imported only after the measurement. Warns if the store cannot take
    the session.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise MissingPackage(
            f"{sys.executable} has no MLflow to store the session in: use --spool DIR, and where MLflow is, "
            "python -m runner import DIR"
        )
    obstacle = store.before_measuring(run.id if run else None) or _unclaimed(run)
    if obstacle is not None:
        click.echo(f"warning: {obstacle}; records are kept in the spool meanwhile", err=True)
    return store.commit


def _unclaimed(run: store.EntryRun | None) -> str | None:
    """Makes this process the owner of the run that MLflow made. Returns why the store does not take that, or None."""
    if run is None:
        return None
    try:
        run.claim()
    except StoreUnreachable as error:
        return str(error)
    return None
