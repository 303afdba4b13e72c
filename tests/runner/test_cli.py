"""The command line as a user meets it: one line, an exit code of its own, never a traceback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pynvml
import pytest
from click.testing import CliRunner

from runner import cli, store
from runner.cell.cell import Cell
from runner.cli import program
from runner.launch import session
from runner.machine import nvml
from runner.machine.nvml import InstalledGpu
from runner.record import record
from runner.record.sessionrecord import MeasuredRecord, SessionRecord
from tests.fakes.pynvml_fake import Card, Driver, module, old_module
from tests.support import damaged
from tests.support.derive import typed
from tests.support.processes import Main, environment, runner
from tests.support.records import cpu_record, example_record, failed_record, of_gate_version_1

ROOT = Path(__file__).resolve().parents[2]
LIST_GPUS = nvml.list_gpus


@pytest.mark.slow
def test_help_answers_at_once_and_lists_the_commands(tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        found = runner(tmp_path, "--help")
        seconds.append(time.monotonic() - started)
    # 0.15 s on an idle machine; what matters to a user is 0.5 s, doubled for a busy one, and the best of three
    assert min(seconds) < 1.0
    assert found.returncode == 0
    assert {"cell", "import", "verify", "gpus", "models", "ui"} <= set(
        re.findall(r"^  (\w+) ", found.stdout, re.MULTILINE)
    )


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys; from runner import cli; print([m for m in ('torch', 'mlflow', 'numpy') if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment(), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n"


def test_every_field_of_the_request_is_an_option_that_is_auto() -> None:
    text = " ".join(CliRunner().invoke(program, ["cell", "--help"]).output.split())
    for name in cli.REQUEST_HELP:
        assert re.search(rf"--{name} TEXT", text), name
    assert text.count("[default: auto]") == len(cli.REQUEST_HELP)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("cell", "--gpu", "l4"), 14, "this machine has no L4: found no GPU; choose gpu=auto or gpu=cpu"),
        (("cell", "--gpu", "l44"), 10, "did you mean l4?"),
        (("cell", "--model", "qwen"), 10, "unknown model 'qwen'"),
        (("cell", "--ctx", "-5"), 11, "ctx=-5: must be at least 1"),
        (("cell", "--ctx", "1000000"), 11, "the largest ctx is 32733"),
        (("cell", "--gpu", "$(touch x)"), 11, "are allowed in a value"),
        (("cell", "--stack", "paper"), 27, "DECODE_FLOOR_ENGINE=none switches containers off"),
        (("cell", "--quant", "gptq"), 13, "quant=gptq needs a CUDA GPU"),
        (("cell", "--kernel", "cublas"), 13, "kernel=cublas needs a CUDA GPU"),
        (("cell", "--weights", "/nonexistent"), 16, "no such folder"),
        (("cell", "--nonsense", "1"), 2, "No such option"),
        (("nonsense",), 2, "No such command"),
        (("cell", "--sessions", "0"), 2, "--sessions"),
        (("cell", "--timeout", "nan"), 2, "nan is not more than 0 and at most 604800 seconds"),
        (("cell", "--timeout", "1e12"), 2, "at most 604800 seconds (7 days)"),
        (("cell", "--timeout", "0"), 2, "0 is not more than 0"),
        (("cell", "--ctx", "9" * 21), 11, "must be at most 9223372036854775807"),
        (("verify", "/nonexistent.json"), 24, "/nonexistent.json: no such file or folder"),
        (("import", "/nonexistent"), 11, "no such folder"),
    ],
)
def test_a_mistake_is_one_line_with_its_own_exit_code(
    main: Main, arguments: tuple[str, ...], code: int, said: str
) -> None:
    found, _, err = main(*arguments)
    assert (found, len(err.splitlines())) == (code, 1)
    assert err.startswith("error: ")
    assert said in err


def test_without_pydantic_nothing_is_verified_and_the_way_to_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['pydantic'] = None\n")
    (tmp_path / "r.json").write_text("not read")
    found = runner(tmp_path, "verify", "r.json", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert (found.returncode, found.stdout) == (25, "")
    assert found.stderr.startswith(f"error: {sys.executable} lacks the package pydantic: use `make cell`")
    assert len(found.stderr.splitlines()) == 1


def test_without_mlflow_the_spool_is_offered_before_anything_is_measured(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(cli, "run_session", lambda *_: pytest.fail("measured"))
    code, _, err = main("cell")
    assert code == 25
    assert "use --spool DIR" in err


def fake_session(monkeypatch: pytest.MonkeyPatch, *records: SessionRecord) -> list[tuple[Any, ...]]:
    """Sessions that end with these records, one after the other; collects the calls."""
    calls: list[tuple[Any, ...]] = []
    waiting = list(records)

    def run_session(*arguments: Any) -> session.Finished:
        calls.append(arguments)
        return session.Finished(waiting.pop(0), Path("/spool/r.json"))

    monkeypatch.setattr(cli, "run_session", run_session)
    return calls


CELL = Cell(
    gpu="cpu", model="tiny", ctx=64, quant="bf16", kernel="torch-cpu", runtime="eager", attention="sdpa",
    cache="dynamic", dtype="bf16", weights_id="synthetic-v1",
)  # fmt: skip
MEASURED = typed(of_gate_version_1(cpu_record()))


def measured(valid: bool = True, **gpu: Any) -> MeasuredRecord:
    return replace(
        MEASURED,
        session=replace(MEASURED.session, id="0123", index=0),
        cell=CELL,
        valid=valid,
        reasons=() if valid else ("gate ctx: logit error 1 exceeds the bound 0.03",),
        flags=("drifting",),
        gpu=replace(MEASURED.gpu, **gpu),
        latency=replace(MEASURED.latency, step_wall_ms=2.0, tokens_per_s=500.0),
        floor=replace(MEASURED.floor, floor_achievable_ms=1.0, r_floor_achievable=0.5),
        gate=replace(MEASURED.gate, error=0.01, bound=0.03),
    )


def test_the_summary_says_what_was_found(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_session(monkeypatch, measured())
    code, out, _ = main("cell", "--spool", "s")
    assert code == 0
    for part in (
        "tiny 64 bf16 eager dynamic cpu (session 0123)",
        "2.000 ms, 500.0 tokens/s",
        "1.000 ms at the bandwidth measured here (r_floor_achievable 0.500)",
        "error 1.00e-02, bound 3.00e-02",
        "valid     yes",
        "drifting",
        "/spool/r.json",
    ):
        assert part in out


def test_a_card_that_the_catalogue_lacks_gets_its_entry_printed(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = {"key": "nvidia-x1", "name": "NVIDIA X1", "catalogued": False, "compute_capability": "13.0"}
    fake_session(monkeypatch, measured(**gpu))
    out = main("cell", "--spool", "s")[1]
    assert "nvidia-x1:\n  name: NVIDIA X1\n  nvml: NVIDIA X1\n  compute_capability: '13.0'" in out


def test_an_invalid_session_keeps_the_rest_from_nothing_and_ends_with_23(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_session(monkeypatch, measured(valid=False), measured())
    code, _, err = main("cell", "--spool", "s", "--sessions", "2")
    assert (code, len(calls)) == (23, 2)
    assert "logit error 1 exceeds the bound" in err
    assert [call[1] for call in calls] == [0, 1]


@pytest.mark.parametrize(
    ("reason", "code"),
    [("oom", 18), ("infeasible", 17), ("worker-failed", 19), ("worker-timeout", 20), ("mismatch", 26)],
)
def test_a_failed_session_ends_with_its_own_code_and_stops_the_rest(
    main: Main, monkeypatch: pytest.MonkeyPatch, reason: str, code: int
) -> None:
    example = typed(failed_record(reason if reason in ("oom", "infeasible") else "failed"))
    outcome = replace(example.outcome, status="failed", reason=reason, message="what was")
    failed = replace(example, outcome=outcome, reasons=("what was",))
    calls = fake_session(monkeypatch, failed, measured())
    found, out, err = main("cell", "--spool", "s", "--sessions", "2")
    assert (found, len(calls), err) == (code, 1, "error: what was\n")
    assert "failed: what was" in out


def test_gpus_marks_what_is_here(
    main: Main, monkeypatch: pytest.MonkeyPatch, card: Callable[..., InstalledGpu]
) -> None:
    monkeypatch.setattr(nvml, "list_gpus", lambda: (card("NVIDIA L4"), card("NVIDIA X1", 1)))
    code, out, _ = main("gpus")
    marked = [line.split()[1] for line in out.splitlines() if line.startswith("*")]
    assert (code, marked) == (0, ["l4", "cpu", "nvidia-x1"])
    assert re.search(r"l4 +NVIDIA L4 +300 GB/s +24 GB +ada", out)


FIRST, SECOND = (f"GPU-{index:08x}-aaaa-bbbb-cccc-dddddddddddd" for index in range(2))
LOST = pynvml.NVML_ERROR_GPU_IS_LOST
L4: dict[str, Any] = {"name": "NVIDIA L4", "capability": (8, 9)}


@pytest.fixture
def machine(main: Main, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Main]:
    """The command on a machine with a pretended driver: `machine(Card(...), visible="0")`."""

    def make(*cards: Card, visible: str | None = None, old: bool = False, init_error: int = 0) -> Main:
        driver = Driver(cards=list(cards), init_error=init_error)
        monkeypatch.setattr(nvml, "list_gpus", LIST_GPUS)
        monkeypatch.setattr(nvml, "DEV", tmp_path)
        monkeypatch.setitem(sys.modules, "pynvml", old_module(driver) if old else module(driver))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        return main

    return make


def stars(out: str) -> list[str]:
    return [line.split()[1] for line in out.splitlines() if line.startswith("*")]


DEAD_AND_L4 = (Card(FIRST, gone=LOST), Card(SECOND, **L4))
DEAD = "gpu 0 does not answer: NVML said 'GPU is lost'"


def test_gpus_and_models_answer_beside_a_dead_card_and_name_it(machine: Callable[..., Main]) -> None:
    main = machine(*DEAD_AND_L4)
    code, out, err = main("gpus")
    assert (code, stars(out), err) == (0, ["l4", "cpu"], "")
    assert out.splitlines()[-1] == f"! {DEAD}"
    code, out, err = main("models")
    assert (code, stars(out), err) == (0, ["qwen2.5-7b"], f"warning: {DEAD}\n")


def test_gpus_and_models_answer_where_a_card_is_sliced(machine: Callable[..., Main]) -> None:
    main = machine(Card(FIRST, mig=(1, 1)))
    sliced = "gpu 0 (NVIDIA H100 80GB HBM3) is in MIG mode, and a slice of a card has no known bandwidth"
    code, out, err = main("gpus")
    assert (code, stars(out), err) == (0, ["cpu"], "")
    assert f"! {sliced}" in out
    code, out, err = main("models")
    assert (code, stars(out)) == (0, [])
    assert f"warning: {sliced}" in err


@pytest.mark.parametrize(
    ("cards", "state", "said"),
    [
        ([Card(FIRST, gone=LOST)], {}, DEAD),
        ([Card(FIRST, **L4)], {"visible": "cuda:0"}, "CUDA_VISIBLE_DEVICES='cuda:0' names no GPU"),
        ([Card(FIRST, **L4)], {"visible": "MIG-1"}, "CUDA_VISIBLE_DEVICES='MIG-1' names a MIG instance"),
        ([], {"visible": "0"}, "CUDA_VISIBLE_DEVICES='0' names a GPU, and this machine has none"),
        ([], {"init_error": pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH}, "version mismatch"),
    ],
)
def test_without_a_gpu_that_answers_a_measurement_is_refused_and_the_catalogue_is_listed(
    machine: Callable[..., Main], monkeypatch: pytest.MonkeyPatch, cards: list[Card], state: dict[str, Any], said: str
) -> None:
    main = machine(*cards, **state)
    for command, marks in (("gpus", ["cpu"]), ("models", [])):
        code, out, err = main(command)
        assert (code, stars(out), len(err.splitlines())) == (0, marks, 1)
        assert err.startswith("warning: ")
        assert said in err
    for arguments in (("cell",), ("cell", "--device", "0"), ("ab", "--field", "ctx", "--a", "64", "--b", "128")):
        code, out, err = main(*arguments, "--spool", "s")
        assert (code, out, len(err.splitlines())) == (14, "", 1)
        assert said in err
    sessions = fake_session(monkeypatch, measured())
    assert main("cell", "--gpu", "cpu", "--spool", "s")[0] == 0
    assert sessions


def test_without_the_bindings_the_catalogue_is_listed_and_nothing_measured(
    machine: Callable[..., Main], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    main = machine()
    monkeypatch.setitem(sys.modules, "pynvml", None)  # an import of it now raises ImportError
    (tmp_path / "nvidia0").touch()
    for command, marks in (("gpus", ["cpu"]), ("models", [])):
        code, out, err = main(command)
        assert (code, stars(out), err.startswith("warning: this machine has an NVIDIA driver")) == (0, marks, True)
    assert main("cell", "--spool", "s")[0] == 25


@pytest.mark.parametrize("visible", ["", "-1", "-1,0"])
def test_cards_that_are_hidden_on_purpose_leave_the_cpu(machine: Callable[..., Main], visible: str) -> None:
    main = machine(Card(FIRST, **L4), visible=visible)
    assert stars(main("gpus")[1]) == ["cpu"]
    assert stars(main("models")[1]) == ["qwen2.5-0.5b"]
    code, _, err = main("cell", "--gpu", "l4")
    assert code == 14
    assert f"found no GPU (CUDA_VISIBLE_DEVICES={visible!r} may hide others)" in err


def test_old_bindings_give_the_same_lists(machine: Callable[..., Main]) -> None:
    cards = (Card(FIRST, **L4), Card(SECOND, name="NVIDIA X1"))
    new = [machine(*cards)(command) for command in ("gpus", "models")]
    assert [machine(*cards, old=True)(command) for command in ("gpus", "models")] == new
    assert stars(new[0][1]) == ["l4", "cpu", "nvidia-x1"]


@pytest.mark.parametrize("old", [False, True])
def test_a_dead_card_that_is_asked_for_ends_the_command(machine: Callable[..., Main], old: bool) -> None:
    code, _, err = machine(*DEAD_AND_L4, old=old)("cell", "--device", "0", "--spool", "s")
    assert (code, err.splitlines()) == (14, [f"error: {DEAD}: choose another card with device= or gpu="])


def test_models_are_listed(main: Main) -> None:
    code, out, _ = main("models")
    assert code == 0
    assert re.search(r"^\* qwen2.5-0.5b", out, re.MULTILINE)
    assert re.search(r"^  llama-3.1-8b +32 layers x 4096", out, re.MULTILINE)


def test_ui_names_the_prepared_view_and_becomes_mlflows_ui(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(store, "cells_addresses", lambda server: [("decode-floor", f"{server}/#/experiments/1")])
    monkeypatch.setattr(os, "execv", lambda _, command: commands.append(command))
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "sqlite:///another.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@db/mlflow")
    code, out, _ = main("ui", "--port", "5001", "--workers", "1")
    assert (code, out) == (0, "decode-floor: http://127.0.0.1:5001/#/experiments/1\n")
    assert [command[2:] for command in commands] == [
        ["mlflow", "ui", "--host", "127.0.0.1", "--port", "5001", "--workers", "1"]
    ]
    # not on the command line, which everybody on the host can read
    assert os.environ["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:secret@db/mlflow"


def test_ui_of_a_server_starts_no_second_one(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "cells_addresses", lambda server: [("decode-floor", f"{server}/#/experiments/1")])
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("started a server"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@tracking:5000/")
    assert main("ui")[:2] == (0, "decode-floor: http://me:***@tracking:5000/#/experiments/1\n")


def test_verify_takes_files_and_folders(main: Main, tmp_path: Path) -> None:
    record.write(example_record(), tmp_path / "right" / "sub" / "r.json")
    assert main("verify", str(tmp_path / "right"), str(tmp_path / "right" / "sub" / "r.json"))[:2] == (
        0,
        "ok 2 records\n",
    )
    (tmp_path / "right" / "x.json").write_text("{}")
    code, out, err = main("verify", str(tmp_path / "right"))
    assert code == 24
    assert out == (
        f"{tmp_path}/right/x.json: not a record of this project (no schema_version): "
        "remove it from the folder of records\n"
    )
    assert "error: 1 of 2 records are damaged or differ" in err


def test_a_copy_of_a_record_is_told(main: Main, tmp_path: Path) -> None:
    for name in ("a.json", "copy.json"):
        record.write(example_record(), tmp_path / name)
    code, out, _ = main("verify", str(tmp_path))
    assert code == 24
    assert out == f"{tmp_path}/copy.json: session 0f3c9a52b7d1e846 is also in {tmp_path}/a.json\n"


def test_verifying_nothing_does_not_pass(main: Main, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = main("verify", str(tmp_path / "empty"))
    assert (code, out) == (24, "")
    assert err == (
        f"error: {tmp_path}/empty: no records (*.json) there: "
        "name the folder that a command wrote records to (--spool, by default spool)\n"
    )


@pytest.mark.parametrize("name", damaged.FILES)
def test_verify_says_in_a_line_what_is_wrong_with_a_damaged_file(main: Main, tmp_path: Path, name: str) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(damaged.FILES[name])
    code, out, err = main("verify", str(file))
    assert code == 24
    assert err == "error: 1 of 1 records are damaged or differ from their raw values\n"
    assert out.splitlines()
    assert all(line.startswith(f"{file}: ") and line.count(str(file)) == 1 for line in out.splitlines())


def test_verify_shows_the_first_lines_of_a_file_and_counts_the_rest(main: Main, tmp_path: Path) -> None:
    found = example_record()
    found["cell"] |= dict.fromkeys(map(str, range(100)))
    record.write(found, tmp_path / "r.json")
    code, out, _ = main("verify", str(tmp_path / "r.json"))
    assert (code, len(out.splitlines())) == (24, cli.VERIFY_LINES + 1)
    assert out.endswith(f"r.json: {100 - cli.VERIFY_LINES} more\n")
