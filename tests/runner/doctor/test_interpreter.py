"""The findings on Python, its packages, disk and `mlflow run`: this interpreter's own, and those of one without any."""

from __future__ import annotations

import shutil
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from runner.doctor import interpreter
from runner.doctor.finding import NOTE, OK, PROBLEM, Finding
from runner.errors import DiskFull, MissingPackage
from runner.files import shipped

REQUIREMENTS = shipped.PACKAGES / "requirements"


def found(has_gpu: bool = False) -> dict[str, Finding]:
    return {each.name: each for each in interpreter.findings(has_gpu)}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An interpreter without packages, in a checkout without .venv; the checkout's folder."""
    checkout = tmp_path / "checkout"
    (checkout / "requirements").mkdir(parents=True)
    for name in ("env.sh", "cpu.txt", "modern.txt", "dev.txt"):
        shutil.copy(REQUIREMENTS / name, checkout / "requirements")
    monkeypatch.setattr(shipped, "PACKAGES", checkout)
    monkeypatch.setattr(interpreter, "SCRIPT", checkout / "requirements" / "env.sh")
    monkeypatch.setattr(interpreter, "missing_packages", lambda: ["torch"])
    return checkout


@pytest.mark.medium
def test_this_environment_has_the_pins_of_a_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    pins = dict(interpreter._pinned(REQUIREMENTS / "cpu.txt"))
    monkeypatch.setattr(metadata, "version", lambda name: pins[name])
    assert found()["environment"] == Finding(
        "environment", OK, f"all {len(pins)} packages are at the pins of requirements/cpu.txt"
    )
    assert pins["torch"] == "2.13.0"


@pytest.mark.medium
def test_packages_of_other_versions_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pins = dict(interpreter._pinned(REQUIREMENTS / "modern.txt"))
    versions = {**pins, "torch": "2.11.0+cu130", "mlflow": "3.16.0"}
    del versions["scipy"]

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "version", version)
    environment = found(has_gpu=True)["environment"]
    assert environment.state == NOTE
    differing = f"2 of {len(pins)} packages differ from requirements/modern.txt"
    assert environment.finding.startswith(f"{differing}: mlflow 3.16.0 (3.17.2), scipy is missing; ")
    assert environment.remedy == "make env STACK=modern"


def test_every_pin_of_a_lock_is_read() -> None:
    for stack in ("cpu", "modern"):
        lines = (REQUIREMENTS / f"{stack}.txt").read_text().splitlines()
        assert len(list(interpreter._pinned(REQUIREMENTS / f"{stack}.txt"))) == sum(
            "==" in line and ";" not in line and not line.startswith((" ", "#")) for line in lines
        )


@pytest.mark.medium
def test_an_unsupported_python_with_packages_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "sys", SimpleNamespace(version_info=(3, 13, 1), executable="python3.13"))
    python = found()["python"]
    assert (python.state, python.exit_code) == (PROBLEM, MissingPackage.exit_code)


@pytest.mark.medium
def test_before_an_environment_exists_its_python_and_pins_are_named(bare: Path) -> None:
    findings = found(has_gpu=True)
    assert findings["environment"].state == NOTE
    assert findings["environment"].finding == "no .venv with the pins of requirements/modern.txt yet"
    assert findings["environment"].remedy == "make env (6.6 GB)"
    assert findings["python"].state == OK
    assert "for .venv; this one is" in findings["python"].finding
    assert not (bare / ".venv").exists()
    assert not (bare / ".venv.lock").exists()


@pytest.mark.usefixtures("bare")
@pytest.mark.medium
def test_an_environment_that_is_not_active_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    venv = interpreter.Venv(True, "cpu", "3.11.7", ".venv/bin/python")
    monkeypatch.setattr(interpreter, "_look", lambda _: venv)
    assert found()["environment"].remedy == "source .venv/bin/activate"


@pytest.mark.usefixtures("bare", "programs")
@pytest.mark.medium
def test_without_a_usable_python_the_message_of_env_sh_is_the_finding() -> None:
    python = found()["python"]
    assert (python.state, python.exit_code) == (PROBLEM, MissingPackage.exit_code)
    assert python.finding.startswith("No Python 3.11 or 3.12 with venv found: install one")


@pytest.mark.usefixtures("bare")
@pytest.mark.medium
def test_a_shell_that_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "does not answer" in found()["python"].finding


@pytest.mark.usefixtures("bare")
@pytest.mark.medium
@pytest.mark.parametrize(
    ("free_gb", "has_gpu", "state", "said"),
    [
        (5, True, PROBLEM, "5.0 GB free, and an environment takes 6.6 GB"),
        (7, True, OK, "7 GB free, an environment takes 6.6 GB"),
        (2, False, PROBLEM, "2.0 GB free, and an environment takes 2.9 to 6.6 GB"),
        (5, False, OK, "5 GB free, an environment takes 2.9 to 6.6 GB"),
    ],
)
def test_an_environment_needs_the_space_of_its_stack(
    monkeypatch: pytest.MonkeyPatch, free_gb: int, has_gpu: bool, state: str, said: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free_gb * 10**9))
    disk = found(has_gpu)["disk"]
    assert (disk.state, disk.exit_code) == (state, DiskFull.exit_code if state == PROBLEM else 0)
    assert disk.finding == said


@pytest.mark.usefixtures("bare")
@pytest.mark.medium
def test_without_a_gpu_the_small_build_of_torch_is_offered() -> None:
    small = "PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make env (2.9 GB)"
    assert found()["environment"].remedy == f"make env (6.6 GB); {small} leaves out torch's CUDA libraries"


@pytest.mark.medium
def test_a_checkout_that_cannot_be_written_takes_no_environment(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter.os, "access", lambda *_: False)
    environment = found()["environment"]
    assert environment.state == PROBLEM
    assert environment.finding == f"no .venv, and none can be made: {bare} cannot be written"


def test_an_installation_without_packages_is_a_problem(bare: Path) -> None:
    (bare / "requirements" / "env.sh").unlink()
    environment = found()["environment"]
    assert (environment.state, environment.finding) == (PROBLEM, f"{sys.executable} lacks torch")


@pytest.mark.parametrize(
    ("present", "state", "said"),
    [
        (
            ("mlflow", "pyenv", "uv"),
            OK,
            "works as it is, with pyenv; also with --env-manager uv or --env-manager local",
        ),
        (("mlflow", "pyenv"), OK, "works as it is, with pyenv; also with --env-manager local"),
        (("mlflow", "uv"), NOTE, "add --env-manager uv or --env-manager local"),
        (("mlflow",), NOTE, "add --env-manager local"),
        (("pyenv",), NOTE, "make env && source .venv/bin/activate"),
    ],
)
def test_mlflow_run_works_with_the_programs_on_path(
    programs: Path, present: tuple[str, ...], state: str, said: str
) -> None:
    for name in present:
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    finding = interpreter._mlflow_run()
    assert finding.state == state
    assert said in (finding.finding, finding.remedy)
