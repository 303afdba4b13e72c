"""The lock of a store: it is waited for, its holder is named, and every user can take it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runner import store
from runner.errors import StoreUnreachable
from runner.store import address, lock
from tests.support.derive import typed
from tests.support.looks import refusal
from tests.support.processes import ROOT, holding
from tests.support.records import example_record
from tests.support.rights import obey_modes, strangers


@pytest.mark.medium
def test_a_process_that_never_gives_our_lock_back_is_named(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "WAIT_S", 0.2)
    path = address.lock_path(sqlite_uri)
    with holding(f"import fcntl; f = open({str(path)!r}, 'a'); fcntl.flock(f, {fcntl.LOCK_EX})") as pid:
        assert f"is kept locked by process {pid} (python" in refusal()
        with pytest.raises(StoreUnreachable, match=f"locked by process {pid}"):
            store.commit(typed(example_record()), None)
    assert store.before_measuring(None) is None


@pytest.mark.medium
def test_a_lock_that_is_given_back_is_waited_for(sqlite_uri: str) -> None:
    path = address.lock_path(sqlite_uri)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        threading.Timer(0.3, fcntl.flock, (file, fcntl.LOCK_UN)).start()
        assert store.before_measuring(None) is None


@pytest.mark.medium
@pytest.mark.usefixtures("sqlite_uri")
def test_another_users_lock_that_may_be_read_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db.lock"
    path.touch()
    strangers(path).chmod(0o644)
    code = "from runner import store; print(store.before_measuring(None))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=obey_modes,
    )
    assert (done.stdout, done.stderr) == ("None\n", "")


def test_a_lock_that_is_made_can_be_taken_by_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri := f"sqlite:///{tmp_path}/mlflow.db")
    before = os.umask(0o077)
    try:
        with lock.held(uri):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "mlflow.db.lock").stat().st_mode & 0o777 == 0o666
