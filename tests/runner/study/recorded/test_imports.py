"""The files of the package that a module imports first of all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runner.record import codekey
from runner.study.recorded import imports

ROOT = Path(__file__).parents[4]
SOURCE = '''"""A module."""
import os, runner.job
import runner.record.codekey as renamed
from pathlib import Path
from runner import registry, __version__
from runner.record import codekey, PACKAGE
from runner.record.spool import DEFAULT_SPOOL, gone
from runner.gone import thing
from runners import registry
if TYPE_CHECKING:
    from runner.cell import cell
try:
    from runner.cell import floors
except ImportError:
    pass
def later():
    from runner.cell import catalogue
'''
LOADED = """
import importlib, json, runner.record.codekey
importlib.import_module("runner.launch.session")
print(json.dumps(runner.record.codekey.code_files()))
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(codekey, "PACKAGE", tmp_path / "runner")
    for file in ("__init__.py", "job.py", "registry.py", "record/__init__.py", "record/codekey.py", "record/spool.py"):
        (tmp_path / "runner" / file).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "runner" / file).touch()
    return tmp_path / "runner"


def test_a_name_is_of_its_module_or_of_the_one_that_it_is_in(package: Path) -> None:
    (package / "module.py").write_text(SOURCE)
    assert imports.imported("module.py") == {
        "__init__.py",
        "job.py",
        "record/codekey.py",
        "registry.py",
        "record/__init__.py",
        "record/spool.py",
    }


def test_data_imports_nothing(package: Path) -> None:
    (package / "data.yaml").write_text("from runner import job")
    assert imports.imported("data.yaml") == frozenset()


@pytest.mark.medium
def test_a_process_has_loaded_all_that_its_modules_import() -> None:
    """Otherwise a session of this very code would seem to be of another."""
    found = subprocess.run([sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True)
    files = json.loads(found.stdout)
    assert len(files) > 50
    assert {name for file in files for name in imports.imported(file)} <= {*files}
