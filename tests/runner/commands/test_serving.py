"""The commands that serve: `ui` and `server`."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from runner import store
from runner.errors import Interrupted
from tests.support.processes import Main


def test_ui_names_the_prepared_view_and_runs_mlflows_ui_there(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[tuple[int, tuple[str, ...]]] = []
    monkeypatch.setattr(store, "view_addresses", lambda server: [("decode-floor", f"{server}/#/experiments/1")])
    monkeypatch.setattr(store, "serve", lambda port, options: served.append((port, options)))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@db/mlflow")
    code, out, _ = main("ui", "--port", "5001", "--workers", "1")
    assert (code, out) == (0, "decode-floor: http://127.0.0.1:5001/#/experiments/1\n")
    assert served == [(5001, ("--workers", "1"))]


def test_ui_of_a_store_without_measurements_has_an_address_all_the_same(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "view_addresses", lambda _: [])
    monkeypatch.setattr(store, "serve", lambda *_: None)
    assert main("ui", "--port", "5001")[:2] == (0, "no measurements yet: http://127.0.0.1:5001\n")


@pytest.mark.parametrize("port", ["abc", "0", "65536", "1.5"])
@pytest.mark.parametrize("command", ["ui", "server"])
def test_what_is_no_port_is_refused_in_a_line(main: Main, command: str, port: str) -> None:
    assert main(command, "--port", port) == (
        11,
        "",
        f"error: port '{port}' is not a number from 1 to 65535: choose one with --port (PORT=… of make)\n",
    )


def test_ui_of_a_server_starts_no_second_one(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "view_addresses", lambda server: [("decode-floor", f"{server}/#/experiments/1")])
    monkeypatch.setattr(store, "serve", lambda *_: pytest.fail("started a server"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@tracking:5000/")
    assert main("ui")[:2] == (0, "decode-floor: http://me:***@tracking:5000/#/experiments/1\n")


def test_server_says_its_address_when_it_answers_and_stops_without_an_error(
    main: Main, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[tuple[str, str, Path, tuple[str, ...]]] = []

    def run(address: str, host: str, folder: Path, options: tuple[str, ...], announce: Callable[[], None]) -> None:
        ran.append((address, host, folder, options))
        announce()
        raise Interrupted("stopped by Ctrl-C")

    monkeypatch.setattr(store, "run_server", run)
    monkeypatch.setattr(store, "local_address", lambda port, host: f"http://{host}:{port}")
    code, out, err = main("server", "--port", "5001", "--data", str(tmp_path), "--workers", "1")
    assert ran == [("http://127.0.0.1:5001", "127.0.0.1", tmp_path, ("--workers", "1"))]
    assert (code, out) == (0, "export MLFLOW_TRACKING_URI=http://127.0.0.1:5001\n")
    assert err == f"its data are in {tmp_path}; Ctrl-C stops it\nstopped by Ctrl-C\n"


def test_server_refuses_a_used_port_and_an_unknown_option_before_it_starts(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "run_server", lambda *_: pytest.fail("started"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, _, err = main("server", "--port", str(other.getsockname()[1]))
    assert (code, "cannot be used (Address already in use): choose another" in err) == (11, True)
    monkeypatch.setattr(store, "local_address", lambda port, host: f"http://{host}:{port}")
    code, _, err = main("server", "--prot", "5")
    assert code == 2
    assert "prot" in err
