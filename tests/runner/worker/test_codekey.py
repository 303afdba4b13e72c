"""code_key follows what was loaded; tree_key everything."""

import subprocess
import sys
from pathlib import Path

import pytest

from runner.worker import codekey

ROOT = Path(__file__).parents[3]
PRINT = "; from runner.worker import codekey; print(codekey.code_key(), codekey.tree_key())"


def keys(root: Path, statement: str) -> list[str]:
    finished = subprocess.run(
        [sys.executable, "-B", "-c", statement + PRINT], cwd=root, capture_output=True, text=True, check=True
    )
    return finished.stdout.split()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for path in [*ROOT.glob("runner/**/*.py"), *ROOT.glob("runner/**/*.yaml")]:
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path


def test_a_module_counts_once_it_is_loaded(copied):
    without, _ = keys(copied, "import runner.floors")
    with_more, _ = keys(copied, "import runner.floors, runner.quantiles")
    assert without != with_more


def test_a_change_in_a_loaded_module_changes_both_keys_in_another_only_the_tree(copied):
    before = keys(copied, "import runner.floors")
    (copied / "runner" / "quantiles.py").write_text("# changed\n")
    unloaded = keys(copied, "import runner.floors")
    (copied / "runner" / "floors.py").open("a").write("# changed\n")
    loaded = keys(copied, "import runner.floors")
    assert (unloaded[0] == before[0], unloaded[1] == before[1]) == (True, False)
    assert loaded[0] != before[0]


def test_a_data_file_counts_once_it_is_read():
    before = codekey.code_key()
    codekey._read_files.discard(ROOT / "runner" / "worker" / "bounds.yaml")
    without = codekey.code_key()
    codekey.read_data("bounds.yaml")
    assert codekey.code_key() != without
    assert codekey.code_key() == before or before == without
