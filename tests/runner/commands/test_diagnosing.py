"""The command `doctor`, on a machine without a GPU."""

from __future__ import annotations

import json

import pytest

from runner.doctor import examination
from runner.machine import nvml
from tests.support.processes import Main

pytestmark = pytest.mark.medium


@pytest.fixture(autouse=True)
def _timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_HTTP_REQUEST_TIMEOUT", "PGCONNECT_TIMEOUT"):
        monkeypatch.setenv(name, "1")
        monkeypatch.delenv(name)


def test_without_a_gpu_a_cell_of_the_cpu_would_be_valid(main: Main) -> None:
    code, out, err = main("doctor")
    assert (code, err) == (0, "")
    assert out.endswith("\nA measurement here would be valid.\n")


def test_the_exit_code_is_the_problems(main: Main) -> None:
    code, out, err = main("doctor", "--gpu", "l4")
    assert (code, err) == (14, "")
    assert out.startswith("PROBLEM  gpu          no NVIDIA L4 here: found no NVIDIA GPU\n")


def test_json_is_one_object(main: Main) -> None:
    code, out, _ = main("doctor", "--gpu", "cpu", "--json")
    report = json.loads(out)
    assert (code, report["exit_code"], report["valid"], report["gpu"]) == (0, 0, True, "cpu")
    assert {check["name"] for check in report["checks"]} >= {*examination.INSIDE}
    assert all(set(check) == {"name", "state", "finding", "remedy", "exit_code"} for check in report["checks"])


def test_a_card_that_is_here_is_examined(main: Main, monkeypatch: pytest.MonkeyPatch, card: nvml.Any) -> None:
    monkeypatch.setattr(nvml, "list_gpus", lambda: (card("NVIDIA L4"),))
    monkeypatch.setattr(nvml, "users", lambda _: ())
    code, out, _ = main("doctor", "--gpu", "l4")
    assert code == 0
    assert "ok       gpu          NVIDIA L4 (l4), 24.0 GB\n" in out
    assert "gpu=l4 model=qwen2.5-7b ctx=2048" in out
