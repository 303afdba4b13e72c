"""MLflow's UI: its port is tried before its address is printed, and it starts quietly."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from mlflow import MlflowClient

from runner import store
from runner.commands import serving
from runner.errors import BadValue
from runner.store import saved_views, ui
from tests.support.derive import typed
from tests.support.processes import ROOT
from tests.support.records import example_record
from tests.support.stores import free_port, wait_until_healthy


def test_a_free_port_is_part_of_the_address() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = int(other.getsockname()[1])
    assert store.local_address(port) == f"http://127.0.0.1:{port}"


def test_a_port_that_another_program_listens_at_is_refused_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(BadValue) as caught:
            store.local_address(port)
    other_port = re.fullmatch(
        rf"port {port} cannot be used \(Address already in use\): choose another, such as (\d+), with --port "
        r"\(PORT=… of make\)",
        str(caught.value),
    )
    assert other_port is not None
    assert store.local_address(int(other_port[1])).endswith(other_port[1])


def test_an_address_names_the_host_at_which_the_server_is_reached() -> None:
    port = free_port()
    assert store.local_address(port, "127.0.0.2") == f"http://127.0.0.2:{port}"
    assert store.local_address(port, "0.0.0.0") == f"http://127.0.0.1:{port}"
    for host in ("203.0.113.7", "no-such-host.invalid"):
        with pytest.raises(BadValue, match=rf"--host {host} is no address of this machine \(.*\): name one of its own"):
            store.local_address(port, host)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_an_ipv6_address_is_in_brackets() -> None:
    port = free_port()
    assert [store.local_address(port, host) for host in ("::", "::1")] == [f"http://[::1]:{port}"] * 2


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.usefixtures("sqlite_uri")
def test_the_ui_starts_quietly_and_a_second_one_on_its_port_is_refused(tmp_path: Path) -> None:
    store.commit(typed(example_record()), None)
    port = free_port()
    # MLflow starts four workers by default: two are more than one, too
    command = [sys.executable, "-m", "runner", "ui", "--port", str(port), "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}", tmp_path / "log")
        second = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    finally:
        os.killpg(server.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
        server.wait(timeout=60)
    assert (second.returncode, second.stdout) == (11, "")
    assert second.stderr.startswith(f"error: port {port} cannot be used (Address already in use): choose another")
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line for line in lines if line] == [
        f"decode-floor: {saved_views.address(f'http://127.0.0.1:{port}', '1')}",
        "MLflow's UI takes some seconds to start; Ctrl-C stops it",
        "MLflow opens its Assistant on the first visit: close the panel to see every column",
    ]
    assert server.returncode == 0


@pytest.mark.medium
def test_what_mlflow_says_is_shown_if_it_does_not_start(
    sqlite_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ui.SERVER:
        monkeypatch.setenv(name, "1")
    with pytest.raises(click.UsageError, match="No such option"):
        ui.serve(5000, ["--nonsense"])
    monkeypatch.setattr("mlflow.server._run_server", lambda **_: sys.exit("broken"))
    with pytest.raises(SystemExit, match="broken"):
        ui.serve(5000, [])
    assert "[MLflow] Security middleware enabled" in capsys.readouterr().err
    # not on the command line, which everybody on the host can read
    assert os.environ["MLFLOW_BACKEND_STORE_URI"] == sqlite_uri


@pytest.mark.medium
def test_the_ui_tells_of_a_deleted_experiment(sqlite_uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    store.commit(typed(example_record()), None)
    MlflowClient(sqlite_uri).delete_experiment("1")
    assert store.view_addresses("http://127.0.0.1:5000") == []
    assert capsys.readouterr().err == (
        "note: the experiment decode-floor (id 1) is deleted: restore it with `mlflow experiments restore "
        "--experiment-id 1`\n"
    )


@pytest.mark.medium
@pytest.mark.usefixtures("sqlite_uri")
def test_a_wrong_option_is_found_before_anything_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(click.UsageError, match="No such option"):
        serving.ui.main(["--prot", "5"], standalone_mode=False)
    assert capfd.readouterr().out == ""
    store.check_options("ui", ["--workers", "1"])


def test_without_options_there_is_nothing_to_import_mlflow_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.cli", None)
    store.check_options("ui", [])
