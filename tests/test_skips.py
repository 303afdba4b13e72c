"""The strict mode of the suite: a skip that no missing hardware excuses fails the run."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(folder: Path, test: str, strict: bool) -> subprocess.CompletedProcess[str]:
    """pytest over one test file beside a copy of our conftest.py."""
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (folder / "test_it.py").write_text(textwrap.dedent(test))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DECODE_FLOOR_STRICT_SKIPS": "1" if strict else "0"}
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--import-mode=importlib", "."]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


SKIP = "import pytest\n\ndef test(): pytest.skip({reason!r})\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reason", "strict", "code"),
    [("no luck", True, 1), ("no luck", False, 0), ("hardware: needs a CUDA GPU", True, 0)],
)
def test_only_hardware_excuses_a_skip(tmp_path: Path, reason: str, strict: bool, code: int) -> None:
    found = run(tmp_path, SKIP.format(reason=reason), strict)
    assert found.returncode == code, found.stdout
    assert reason in found.stdout


@pytest.mark.medium
def test_a_whole_file_that_is_skipped_counts_too(tmp_path: Path) -> None:
    test = "import pytest\npytest.importorskip('a_package_that_is_not_there')\n"
    found = run(tmp_path, test, strict=True)
    assert found.returncode == 1, found.stdout
    assert "skips that no missing hardware excuses" in found.stdout


@pytest.mark.slow
def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    test = "import pytest\n\n@pytest.mark.xfail\ndef test(): raise ValueError\n"
    assert run(tmp_path, test, strict=True).returncode == 0
