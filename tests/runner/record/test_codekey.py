"""code_key follows what was loaded; tree_key everything."""

import subprocess
import sys
from pathlib import Path

import pytest

from runner.record import codekey

ROOT = Path(__file__).parents[3]
PRINT = "; from runner.record import codekey; print(codekey.code_key(), codekey.tree_key())"


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


@pytest.mark.medium
def test_a_module_counts_once_it_is_loaded(copied):
    without, _ = keys(copied, "import runner.cell.floors")
    with_more, _ = keys(copied, "import runner.cell.floors, runner.record.quantiles")
    assert without != with_more


@pytest.mark.medium
def test_a_change_in_a_loaded_module_changes_both_keys_in_another_only_the_tree(copied):
    before = keys(copied, "import runner.cell.floors")
    (copied / "runner" / "record" / "quantiles.py").write_text("CHANGED = 1\n")
    unloaded = keys(copied, "import runner.cell.floors")
    (copied / "runner" / "cell" / "floors.py").open("a").write("CHANGED = 1\n")
    loaded = keys(copied, "import runner.cell.floors")
    assert (unloaded[0] == before[0], unloaded[1] == before[1]) == (True, False)
    assert loaded[0] != before[0]


@pytest.mark.medium
def test_words_leave_the_code_key_and_an_operator_changes_it(copied):
    floors = copied / "runner" / "cell" / "floors.py"
    before, text = keys(copied, "import runner.cell.floors"), floors.read_text()
    floors.write_text(text.replace('"""Returns', '"""Gives', 1) + "# a comment\n")
    reworded = keys(copied, "import runner.cell.floors")
    assert text != floors.read_text()
    assert (reworded[0] == before[0], reworded[1] == before[1]) == (True, False)
    floors.write_text(text.replace(" * ", " + ", 1))
    assert keys(copied, "import runner.cell.floors")[0] != before[0]


@pytest.mark.medium
def test_a_move_leaves_the_code_key(copied):
    """To another package and name, with imports that follow it; a package of words alone is no code either."""
    before = keys(copied, "import runner.record.quantiles")
    moved = copied / "runner" / "sample" / "numbers.py"
    moved.parent.mkdir()
    (moved.parent / "__init__.py").write_text('"""Words."""\n')
    (copied / "runner" / "record" / "quantiles.py").rename(moved)
    after = keys(copied, "import runner.sample.numbers")
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)


@pytest.mark.slow
def test_a_data_file_counts_once_it_is_read():
    before = codekey.code_key()
    codekey._read_files.discard(ROOT / "runner" / "record" / "bounds.yaml")
    without = codekey.code_key()
    codekey.read_data("bounds.yaml")
    assert codekey.code_key() != without
    assert codekey.code_key() == before or before == without


def test_contents_that_change_places_change_the_tree_key(monkeypatch, tmp_path):
    monkeypatch.setattr(codekey, "PACKAGE", tmp_path)
    paths = [tmp_path / "one.py", tmp_path / "two.py"]

    def key(*texts):
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return codekey._tree_hash(paths)

    assert key("a", "b") == key("a", "b") != key("b", "a")
    before = key("a", "b")
    paths[0] = paths[0].rename(tmp_path / "renamed.py")
    assert codekey._tree_hash(paths) != before
    assert codekey._tree_hash(reversed(paths)) == codekey._tree_hash(paths)
