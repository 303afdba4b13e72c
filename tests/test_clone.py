"""A clone made with Git's settings for Windows: what is run or hashed has the bytes it was committed with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# whoever owns this checkout may be another user than runs the tests
GIT = (
    "git",
    "-c",
    "safe.directory=*",
    "-c",
    "user.name=x",
    "-c",
    "user.email=x@example.org",
    "-c",
    "init.defaultBranch=x",
)


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def said(folder: Path, *arguments: str) -> str:
    """Returns what a module of that clone prints."""
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=folder, env={"PATH": ""}, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the files as they are here now, committed or not."""
    source = tmp_path_factory.mktemp("source")
    for name in filter(None, git(ROOT, "ls-files", "-z").split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    git(source, "init", "-q")
    git(source, "add", "--all", "--force")
    git(source, "commit", "-q", "-m", "as here")
    made = tmp_path_factory.mktemp("clone") / "clone"
    git(source, "clone", "-q", "-c", "core.autocrlf=true", "-c", "core.eol=crlf", str(source), str(made))
    return made


@pytest.mark.medium
def test_every_file_is_as_it_was_committed(clone: Path) -> None:
    names = [name for name in git(clone, "ls-files", "-z").split("\0") if name]
    assert len(names) > 500
    assert [name for name in names if (clone / name).read_bytes() != (ROOT / name).read_bytes()] == []


@pytest.mark.medium
def test_the_code_is_the_same_code(clone: Path) -> None:
    assert said(clone, "runner.record.codekey") == said(ROOT, "runner.record.codekey")


@pytest.mark.medium
def test_records_are_verified_there(clone: Path) -> None:
    record = next(iter(sorted((clone / "experiments/records").rglob("*.json"))))
    assert said(clone, "runner", "verify", str(record)) == "ok 1 record\n"
