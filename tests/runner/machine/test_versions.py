"""Versions of this interpreter's packages; torch's are read without importing it."""

import importlib.metadata
import importlib.util
import json
import platform
import subprocess
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from runner.machine import versions
from runner.record import record

ROOT = Path(__file__).parents[3]

APART = """
import json, sys
from runner.cell.cell import Cell
from runner.machine import versions
cell = Cell(**json.loads(sys.argv[1]))
print(json.dumps(versions.installed(cell, "580.95.05")))
assert "torch" not in sys.modules
"""


@pytest.mark.medium
def test_versions_are_those_that_python_knows_and_torch_stays_unimported(tiny_job):
    torch = pytest.importorskip("torch")
    cell = json.dumps({name: getattr(tiny_job.cell, name) for name in tiny_job.cell.__dataclass_fields__})
    found = subprocess.run([sys.executable, "-c", APART, cell], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "transformers": importlib.metadata.version("transformers"),
        "triton": versions.of_package("triton"),
        "kernel_package": None,
        "driver_major": "580",
    }


def test_the_versions_are_those_that_env_key_hashes(tiny_job):
    assert versions.installed(tiny_job.cell, None).keys() == {*record.ENV_KEY_VERSIONS}
    assert versions.installed(tiny_job.cell, None)["driver_major"] is None


@pytest.mark.parametrize(
    ("kernel", "runtime", "expected"),
    [
        ("exllamav2", "exllamav2", "version of exllamav2"),
        ("torch-cpu", "exllamav2", "version of exllamav2"),
        ("marlin", "exllamav2", "version of gptqmodel+version of exllamav2"),
    ],
)
def test_a_runtimes_package_is_one_of_them(tiny_job, monkeypatch, kernel, runtime, expected):
    monkeypatch.setattr(versions, "of_package", lambda package: f"version of {package}")
    cell = replace(tiny_job.cell, kernel=kernel, runtime=runtime)
    assert versions.installed(cell, None)["kernel_package"] == expected


def test_a_package_that_is_not_here_has_no_version():
    assert versions.of_package("no-such-package-of-any-index") is None


@pytest.fixture
def torch_of(monkeypatch, tmp_path, tiny_job):
    """A function that returns what a torch with this version.py states; None: without that file."""

    def stated(text: str | None) -> tuple[str | None, str | None]:
        if text is not None:
            (tmp_path / "version.py").write_text(text)
        spec = ModuleSpec("torch", None, is_package=True)
        spec.submodule_search_locations = [str(tmp_path)]
        monkeypatch.setattr(importlib.util, "find_spec", lambda _name: spec)
        found = versions.installed(tiny_job.cell, None)
        return found["torch"], found["cuda"]

    return stated


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("__version__ = '2.11.0+cu130'\ncuda: Optional[str] = '13.0'\n", ("2.11.0+cu130", "13.0")),
        ("__version__ = '2.4.1'\ndebug = False\ncuda = '12.1'\n", ("2.4.1", "12.1")),
        ("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip = None\n", ("2.13.0+cpu", None)),
        ("__version__ = made()\n", (None, None)),
        ("broken (\n", (None, None)),
        (None, (None, None)),
    ],
)
def test_torch_says_its_versions_in_a_file(torch_of, text, expected):
    assert torch_of(text) == expected


def test_without_torch_its_versions_are_none(monkeypatch, tiny_job):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    found = versions.installed(tiny_job.cell, "580.95")
    assert (found["torch"], found["cuda"], found["driver_major"]) == (None, None, "580")
    assert record.env_key_of(found)
