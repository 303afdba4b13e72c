"""code_key follows what was loaded, and can be had from the paths of those files; tree_key follows everything."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

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
def test_a_data_file_counts_once_it_is_read(monkeypatch):
    monkeypatch.setattr(codekey, "_loaded_files", lambda: {ROOT / "runner" / "errors.py"})  # not all that tests import
    before = codekey.code_key()
    codekey._read_files.discard(ROOT / "runner" / "record" / "bounds.yaml")
    without = codekey.code_key()
    codekey.read_data("bounds.yaml")
    assert codekey.code_key() != without
    assert codekey.code_key() == before or before == without


FILES_AND_KEYS = """
import json, sys, runner.cell.floors
from runner.record import codekey
codekey.read_data("bounds.yaml")
paths = codekey.code_files()
json.dump({"paths": paths, "loaded": codekey.code_key(), "listed": codekey.key_of_files(paths, {})}, sys.stdout)
"""


def files_and_keys(root: Path) -> dict[str, Any]:
    finished = subprocess.run(
        [sys.executable, "-B", "-c", FILES_AND_KEYS], cwd=root, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


@pytest.mark.medium
def test_the_files_of_a_code_key_have_the_same_key(copied):
    found = files_and_keys(copied)
    assert found["listed"] == found["loaded"]
    assert found["paths"] == sorted(found["paths"])
    assert {"__init__.py", "cell/floors.py", "record/bounds.yaml", "record/codekey.py"} <= {*found["paths"]}
    assert "record/quantiles.py" not in found["paths"]


@pytest.mark.medium
def test_a_package_below_a_link_has_the_same_files(copied, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "checkout"
    link.symlink_to(copied)
    assert files_and_keys(link) == files_and_keys(copied)


@pytest.fixture
def package(copied, monkeypatch) -> Path:
    monkeypatch.setattr(codekey, "PACKAGE", copied / "runner")
    return copied / "runner"


LISTED = ("cell/floors.py", "record/bounds.yaml", "record/codekey.py")


def key_of(*paths: str) -> str | None:
    return codekey.key_of_files(paths, {})


@pytest.mark.medium
def test_the_key_of_listed_files_follows_their_code_alone(package):
    before = key_of(*LISTED)
    assert before is not None
    floors = package / "cell" / "floors.py"
    text = floors.read_text()
    floors.write_text(text.replace('"""Returns', '"""Gives', 1) + "# a comment\n")
    (package / "record" / "quantiles.py").write_text("CHANGED = 1\n")
    assert floors.read_text() != text
    assert key_of(*LISTED) == before
    floors.write_text(text + "CHANGED = 1\n")
    assert key_of(*LISTED) not in (before, None)
    floors.write_text(text)
    assert key_of(*LISTED) == before
    (package / "record" / "bounds.yaml").open("a").write("# data is hashed as it is\n")
    assert key_of(*LISTED) not in (before, None)


@pytest.mark.medium
def test_contents_that_were_seen_are_not_analysed_again(package, monkeypatch):
    hashes: dict[str, str | None] = {}
    before = codekey.key_of_files(LISTED, hashes)
    monkeypatch.setattr(codekey.sourcetext, "essence", lambda _text: pytest.fail("analysed again"))
    assert codekey.key_of_files(LISTED, hashes) == before
    monkeypatch.setattr(codekey.sourcetext, "essence", lambda text: text)
    (package / "cell" / "floors.py").open("a").write("CHANGED = 1\n")
    assert codekey.key_of_files(LISTED, hashes) != before


@pytest.mark.medium
@pytest.mark.parametrize(
    "path",
    [
        *("cell/gone.py", "cell", "/etc/hostname", "../pyproject.toml", "cell/../cell/floors.py", "./cell/floors.py"),
        *("cell//floors.py", "", ".hidden.py", "cell\\floors.py", "cell/floors.py\n"),
    ],
)
def test_a_file_that_is_not_there_or_not_in_the_package_has_no_key(package, path):
    (package / ".hidden.py").touch()
    assert key_of(*LISTED, path) is None


@pytest.mark.medium
@pytest.mark.parametrize("content", [b"def broken(:\n", b'"""never closed\n', b"(\n", b"\xff\xfe", b"x = '\0'\n"])
def test_a_file_that_is_no_python_now_has_no_key(package, content):
    (package / "cell" / "floors.py").write_bytes(content)
    assert key_of(*LISTED) is None


def test_a_file_outside_the_package_is_not_named(monkeypatch, tmp_path):
    # other tests of this process may have loaded a module from elsewhere
    monkeypatch.setattr(codekey, "_loaded_files", lambda: {codekey.PACKAGE / "errors.py"})
    monkeypatch.setattr(codekey, "_read_files", set())
    assert codekey.code_files() == ("errors.py",)
    monkeypatch.setattr(codekey, "_read_files", {tmp_path / "private.cu"})
    assert codekey.code_files() is None


@pytest.mark.parametrize("name", ["module.py", "data.yaml", "kernel.cu", "header.cuh"])
def test_a_source_of_any_kind_counts_in_the_tree_key(monkeypatch, tmp_path, name):
    monkeypatch.setattr(codekey, "PACKAGE", tmp_path)
    without = codekey.tree_key()
    (tmp_path / name).write_text("first")
    first = codekey.tree_key()
    (tmp_path / name).write_text("second")
    assert len({without, first, codekey.tree_key()}) == 3


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
