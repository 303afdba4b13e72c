"""The tests mirror the packages: a module's tests are in the file of its name, in the folder of its package."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = ("runner", "analysis", "images")
WITHOUT_FILE = {
    "analysis/cellcolumns.py": "declarations of columns; test_registry and the tables' tests check each",
    "analysis/choose/candidate.py": "dataclasses without behaviour",
    "analysis/tables/_differencecolumns.py": "declarations of columns; test_registry checks each",
    "analysis/tables/_differencerow.py": "the fields of rows; test_registry checks their keys",
    "analysis/tables/_floorrow.py": "the fields of a row; test_registry checks their keys",
    "images/bundle/errors.py": "an exception without behaviour",
    "runner/fleet/orders.py": "dataclasses without behaviour",
    "runner/formats/bf16.py": "a declaration alone",
    "runner/installation.py": "one dataclass without behaviour",
    "runner/kernels/cublas.py": "a declaration alone",
    "runner/kernels/torch_cpu.py": "a declaration alone",
    "runner/protocols.py": "protocols without behaviour",
    "runner/record/sections/energy.py": "dataclasses alone; test_read and test_schema hold them",
    "runner/record/sections/gate.py": "dataclasses alone; test_read and test_schema hold them",
    "runner/record/sections/head.py": "dataclasses alone; test_read and test_schema hold them",
    "runner/record/sections/quantities.py": "dataclasses alone; test_read and test_schema hold them",
    "runner/record/sections/surroundings.py": "dataclasses alone; test_read and test_schema hold them",
    "runner/record/sessionrecord.py": "dataclasses alone; test_read, test_schema and test_written hold them",
    "runner/record/statedbound.py": "two dataclasses without behaviour",
    "runner/study/declared.py": "dataclasses without behaviour",
    "runner/study/declaration/keys.py": "descriptions and limits; test_studyfile and test_schema hold them",
    "runner/runtimes/exllamav2.py": "a declaration, and one call of _exllamav2engine",
}
"""Modules that have no test file of their own, each with the reason."""
OF_NO_MODULE = {
    "tests/analysis/figures/test_figures.py",
    "tests/analysis/report/test_run.py",
    "tests/analysis/sources/test_sources.py",
    "tests/analysis/test_places.py",
    "tests/images/test_bake.py",
    "tests/images/test_build.py",
    "tests/images/test_bundle_for_real.py",
    "tests/images/test_dockerfile.py",
    "tests/images/test_locks.py",
    "tests/images/test_sbom.py",
    "tests/images/test_settings.py",
    "tests/runner/ab/test_ab_for_real.py",
    "tests/runner/ab/test_tampered.py",
    "tests/runner/checkpoints/test_as_transformers.py",
    "tests/runner/checkpoints/test_checkpoint_hub.py",
    "tests/runner/checkpoints/test_written.py",
    "tests/runner/fleet/test_fleet_for_real.py",
    "tests/runner/formats/test_golden.py",
    "tests/runner/fused/test_kernel_choice.py",
    "tests/runner/fused/test_kernel_faults.py",
    "tests/runner/hostcondition/test_conditions_for_real.py",
    "tests/runner/launch/container/test_for_real.py",
    "tests/runner/machine/test_nvml_library.py",
    "tests/runner/record/test_disagreement.py",
    "tests/runner/record/test_hidden.py",
    "tests/runner/commands/test_windows_for_real.py",
    "tests/runner/record/test_record_schema.py",
    "tests/runner/record/verify/test_tampered.py",
    "tests/runner/redaction/test_published.py",
    "tests/runner/store/test_bigstore.py",
    "tests/runner/store/test_older_server.py",
    "tests/runner/store/test_store_secrets.py",
    "tests/runner/test_mlflow_run.py",
    "tests/runner/test_mlproject.py",
    "tests/runner/test_places.py",
    "tests/runner/study/test_shipped_studies.py",
    "tests/runner/worker/test_fused_sessions.py",
    "tests/runner/worker/test_gate_mutants.py",
    "tests/runner/worker/test_gpu.py",
    "tests/runner/worker/test_gpu_kernels.py",
    "tests/runner/worker/test_likeness.py",
    "tests/runner/worker/test_packed.py",
    "tests/runner/worker/test_stored_heads.py",
    "tests/runner/worker/test_timed_steps.py",
    "tests/runner/worker/test_whole_session.py",
    "tests/runner/worker/test_worker.py",
}
"""Test files that run through several modules, or through files that are no modules; their docstrings say which."""


def files(folder: str, pattern: str) -> set[str]:
    """Returns the files below a folder, as paths from the root."""
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(pattern)}


SOURCES = {module for package in HOUSE for module in files(package, "*.py")}
MODULES = {module for module in SOURCES if not module.endswith(("/__init__.py", "/__main__.py"))}
TESTS = {test for package in HOUSE for test in files(f"tests/{package}", "test_*.py")}


def mirrored(module: str) -> str:
    """Returns the test file of a module: tests/runner/a/test_b.py for runner/a/b.py and for runner/a/_b.py."""
    path = Path(module)
    return f"tests/{path.parent.as_posix()}/test_{path.stem.strip('_')}.py"


def test_each_module_has_a_test_file_of_its_name_or_a_reason_to_have_none() -> None:
    assert sorted(module for module in MODULES - WITHOUT_FILE.keys() if mirrored(module) not in TESTS) == []


def test_no_reason_is_given_for_a_module_that_has_a_test_file_or_is_gone() -> None:
    tested = {module for module in MODULES if mirrored(module) in TESTS}
    assert sorted(WITHOUT_FILE.keys() & tested) == []
    assert sorted(WITHOUT_FILE.keys() - MODULES) == []


def test_a_test_file_of_no_module_is_listed() -> None:
    """One that is not was left behind by its module, or lies in another folder."""
    of_modules = {mirrored(module) for module in SOURCES}
    assert sorted(TESTS - of_modules - OF_NO_MODULE) == []
    assert sorted(OF_NO_MODULE - (TESTS - of_modules)) == []


@pytest.mark.medium
def test_a_test_file_of_no_module_says_what_goes_through_it() -> None:
    listed = sorted(OF_NO_MODULE & TESTS)
    assert [test for test in listed if not ast.get_docstring(ast.parse((ROOT / test).read_text("utf-8")))] == []
