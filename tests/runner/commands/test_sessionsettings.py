"""Where the sessions of a command go: into a folder, or into the store as well."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from runner import store
from runner.commands.sessionsettings import session_settings
from runner.errors import MissingPackage, StoreUnreachable
from runner.launch.session import Settings
from runner.record.spool import DEFAULT_SPOOL
from runner.store import EntryRun
from tests.support.displays import Seen


@pytest.fixture(autouse=True)
def _store_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "before_measuring", lambda _run: None)


def settings(spool: Path | None, run: EntryRun | None = None) -> Settings:
    return session_settings(run, spool, True, 60.0, Seen())


def test_a_named_folder_keeps_the_records_out_of_the_store(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert (found.spool, found.commit, found.run, found.share_host, found.timeout_s) == (
        tmp_path,
        None,
        None,
        True,
        60.0,
    )


def test_without_a_folder_or_under_mlflow_sessions_are_committed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(EntryRun, "claim", lambda _self: None)
    assert (settings(None).spool, settings(None).commit) == (DEFAULT_SPOOL, store.commit)
    assert settings(tmp_path, EntryRun("0" * 32)).commit == store.commit


def test_without_mlflow_only_a_folder_will_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingPackage, match="has no MLflow to store the session in: use --spool DIR"):
        settings(None)
    assert settings(tmp_path).commit is None


def test_a_store_that_does_not_answer_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(store, "before_measuring", lambda _run: "no answer from http://store")
    assert settings(None).commit == store.commit
    assert capsys.readouterr().err.startswith("warning: no answer from http://store; records are kept in the spool")


@pytest.mark.parametrize("fault", [None, StoreUnreachable("the store is read-only: make it writable")])
def test_the_run_that_mlflow_made_gets_its_owner_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: StoreUnreachable | None
) -> None:
    claimed: list[str] = []

    def claim(run: EntryRun) -> None:
        claimed.append(run.id)
        if fault is not None:
            raise fault

    monkeypatch.setattr(EntryRun, "claim", claim)
    assert settings(None, EntryRun("a" * 32)).commit == store.commit
    assert claimed == ["a" * 32]
    said = capsys.readouterr().err
    assert said == ("" if fault is None else f"warning: {fault}; records are kept in the spool meanwhile\n")
