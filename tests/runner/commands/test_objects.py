"""The objects that `--json` prints, with the fields that docs/json.md lists."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from runner.commands import objects
from runner.machine import nvml
from runner.machine.nvml import InstalledGpu
from runner.record import record
from runner.record.sections.energy import NoEnergy
from tests.support.derive import typed
from tests.support.energies import energy_record
from tests.support.fakesession import fake_session, measured
from tests.support.processes import ROOT, Main
from tests.support.records import example_record, failed_record


def keys(kind: type[Any]) -> list[str]:
    return [field.name for field in fields(kind)]


def documented() -> dict[str, list[list[str]]]:
    """Returns command → the fields of each of its tables in docs/json.md."""
    sections = re.split(r"^## ", (ROOT / "docs" / "json.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    tables = {
        part.partition("\n")[0].strip("`").partition(" ")[0]: part.split("| field | meaning |")[1:] for part in sections
    }
    return {
        name: [re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) for table in found] for name, found in tables.items()
    }


@pytest.mark.medium
def test_every_command_prints_the_documented_fields(
    main: Main, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_session(monkeypatch, measured())
    record.write(example_record(), tmp_path / "r.json")
    commands = {
        "cell": (("cell", "--spool", "s", "--json"), "sessions"),
        "verify": (("verify", str(tmp_path), "--json"), None),
        "gpus": (("gpus", "--json"), "gpus"),
        "models": (("models", "--json"), "models"),
        "doctor": (("doctor", "--gpu", "cpu", "--json"), "checks"),
    }
    (error,), *_ = documented().values()
    assert list(documented()) == ["Errors", *commands]
    for name, (arguments, inside) in commands.items():
        code, out, _ = main(*arguments)
        printed, (fields, *nested) = json.loads(out), documented()[name]
        assert (code, list(printed)) == (0, [*fields, "error"])
        assert [list(each) for each in printed.get(inside, ())] == nested[:1] * len(printed.get(inside, ()))
        tails = [each["tail"] for each in printed.get("sessions", ())]
        assert [list(tail) for tail in tails] == nested[1:] * len(tails)
        code, out, err = main(*arguments, "--nonsense")
        failed = json.loads(out)
        assert (code, list(failed), list(failed["error"])) == (2, ["error"], error)
        assert err == f"error: {failed['error']['message']}\n"


@pytest.mark.medium
@pytest.mark.parametrize("arguments", [("verify",), ("verify", "/nowhere"), ("gpus", "x"), ("cel",), ("doctor", "l4")])
def test_a_command_that_fails_before_it_has_a_result_prints_its_error(main: Main, arguments: tuple[str, ...]) -> None:
    code, out, err = main(*arguments, "--json")
    error = json.loads(out)["error"]
    assert list(json.loads(out)) == ["error"]
    assert (error["exit_code"], f"error: {error['message']}\n") == (code, err)
    assert main(*arguments)[1] == ""


def test_cell_prints_the_numbers_of_each_session(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_session(monkeypatch, measured(), measured(valid=False))
    code, out, err = main("cell", "--spool", "s", "--sessions", "2", "--json")
    first, second = json.loads(out)["sessions"]
    assert list(first) == list(second) == keys(objects.SessionResult)
    assert (first["session"], first["status"], first["valid"], first["message"]) == ("0123", "measured", True, None)
    assert (first["step_wall_ms"], first["tokens_per_s"], first["r_floor_achievable"]) == (2.0, 500.0, 0.5)
    # bytes / 2 ms = bytes / 2e6 GB/s
    assert first["achieved_gbs"] == measured().bytes.streamed / 2e6
    assert (first["record"], first["mlflow_run"], first["flags"]) == ("/spool/r.json", None, ["drifting"])
    assert second["reasons"] == ["gate ctx: logit error 1 exceeds the bound 0.03"]
    assert (code, err.splitlines()[-1]) == (23, "error: 1 of 2 sessions failed: the lines above say why")


def test_cell_prints_a_session_that_failed_and_nothing_of_a_request_that_did(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_session(monkeypatch, typed(failed_record("oom")))
    code, out, err = main("cell", "--spool", "s", "--json")
    (session,) = json.loads(out)["sessions"]
    assert (code, session["status"], session["step_wall_ms"]) == (18, "oom", None)
    assert err == f"error: {session['message']}\n"
    code, out, err = main("cell", "--ctx", "", "--json")
    message = err.removeprefix("error: ").rstrip()
    assert (code, json.loads(out)) == (
        11,
        {"sessions": [], "error": {"message": message, "exit_code": 11, "reason": "bad-value"}},
    )


@pytest.mark.medium
def test_verify_prints_counts_and_faults(main: Main, tmp_path: Path) -> None:
    record.write(example_record(), tmp_path / "r.json")
    code, out, err = main("verify", str(tmp_path), "--json")
    assert (code, json.loads(out), err) == (
        0,
        {"ok": True, "records": 1, "manifests": 0, "faults": {}, "changed": [], "error": None},
        "",
    )
    (tmp_path / "x.json").write_text("{}")
    code, out, err = main("verify", str(tmp_path), "--json")
    found = json.loads(out)
    assert (code, found["ok"], found["records"], list(found["faults"])) == (24, False, 2, [str(tmp_path / "x.json")])
    assert list(found) == [*keys(objects.Verification), "error"]
    assert (found["error"]["exit_code"], found["error"]["reason"]) == (24, "bad-record")
    assert err.startswith("error: 1 of 2 files failed verification")


def test_gpus_prints_the_catalogue_and_the_cards_of_this_machine(
    main: Main, monkeypatch: pytest.MonkeyPatch, card: Callable[..., InstalledGpu]
) -> None:
    lost = replace(card("NVIDIA H100 PCIe", 2), fault="does not answer")
    monkeypatch.setattr(nvml, "list_gpus", lambda: (card("NVIDIA L4"), card("NVIDIA X1", 1), lost))
    code, out, err = main("gpus", "--json")
    found = json.loads(out)
    assert (code, err, list(found)) == (0, "", [*keys(objects.Gpus), "error"])
    assert all(list(each) == keys(objects.ListedGpu) for each in found["gpus"])
    by_key = {each["key"]: each for each in found["gpus"]}
    assert [key for key, each in by_key.items() if each["installed"]] == ["l4", "cpu", "nvidia-x1"]
    assert (by_key["l4"]["bandwidth_gbs"], by_key["nvidia-x1"]["catalogued"]) == (300, False)
    assert found["obstacles"] == [lost.obstacle]
    assert (by_key["jetson-thor"]["shared_memory"], by_key["l4"]["shared_memory"]) == (True, False)
    assert (by_key["l4"]["power_w"], by_key["l4"]["floors_ms"]) == (72, None)


def test_gpus_prints_the_floors_of_a_model(main: Main) -> None:
    found = json.loads(main("gpus", "--json", "--model", "qwen2.5-7b")[1])
    by_key = {each["key"]: each["floors_ms"] for each in found["gpus"]}
    # 14 258 678 784 and 4 598 193 152 bytes at 300 GB/s
    assert by_key["l4"] == {"bf16": pytest.approx(47.53, abs=0.01), "gptq": pytest.approx(15.33, abs=0.01)}
    assert by_key["cpu"] == {"bf16": None, "gptq": None}


def test_models_prints_the_catalogue_and_the_default(main: Main) -> None:
    code, out, _ = main("models", "--json")
    found = json.loads(out)
    assert (code, list(found), found["error"]) == (0, [*keys(objects.Models), "error"], None)
    assert all(list(each) == keys(objects.ListedModel) for each in found["models"])
    assert [each["key"] for each in found["models"] if each["default"]] == ["qwen2.5-0.5b"]
    assert next(each for each in found["models"] if each["key"] == "llama-3.1-8b")["layers"] == 32


def test_cell_prints_joules_or_why_there_are_none(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    found, plain = typed(energy_record()), typed(example_record())
    fake_session(monkeypatch, found, replace(plain, energy=NoEnergy("why")), plain)
    _, out, _ = main("cell", "--spool", "s", "--sessions", "3", "--json")
    fields = ("joules_per_token", "joules_per_token_above_idle", "energy_unavailable")
    assert [[each[name] for name in fields] for each in json.loads(out)["sessions"]] == [
        [found.energy.joules_per_token, found.energy.joules_per_token_above_idle, None],
        [None, None, "why"],
        [None, None, None],
    ]
