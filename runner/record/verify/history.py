"""Checks in git that committed records were not changed: records are only added."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.errors import BadRecord, BadValue, MissingPackage
from runner.record.spool import MANIFEST_NAME

CHANGED = "changed"
CHANGES = {"M": CHANGED, "D": "deleted", "T": CHANGED}
MOVED = "R100"  # renamed without a change


def changed(since: str, folders: Sequence[Path]) -> list[str]:
    """Returns a line for each record (*.json) below these folders that was committed at `since` or later, and then
    changed or deleted, in a commit or in the working tree.

    Raises BadValue if git does not know `since`, BadRecord if a folder is not in a repository, and MissingPackage if
    git is not installed.
    """
    return sorted({line for folder in folders for line in _changed_below(since, folder.resolve())})


def _changed_below(since: str, folder: Path) -> Iterator[str]:
    start = _commit(since, folder)
    options = ("--name-status", "-z", "--find-renames=100%", "--diff-filter=MDTR", "--relative")
    history = _git(folder, "log", "--format=", "-m", "--first-parent", *options, f"{start}..HEAD", "--", ".")
    now = _git(folder, "diff", *options, "HEAD", "--", ".")
    direct = _git(folder, "diff", *options, start, "--", ".")
    for status, name in (*_entries(history), *_entries(now), *_entries(direct)):
        change = CHANGES[status]
        is_continued = Path(name).name == MANIFEST_NAME and change == CHANGED  # more sessions of an A/B
        if name.endswith(".json") and not is_continued:
            yield f"{folder / name}: {change} since {since}: restore the record, or measure a new one"


def _commit(since: str, folder: Path) -> str:
    if not folder.is_dir():
        raise BadRecord(
            f"{folder}: not a folder, but --since compares folders of records: name the folder that it is in"
        )
    try:
        return _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{since}^{{commit}}").strip()
    except subprocess.CalledProcessError as error:
        _check_repository(folder)
        raise BadValue(
            f"--since {since}: no such commit in this repository: "
            "name another, or run `git fetch --unshallow` in a shallow clone"
        ) from error


def _check_repository(folder: Path) -> None:
    try:
        _git(folder, "rev-parse", "--git-dir")
    except subprocess.CalledProcessError as error:
        raise BadRecord(
            f"{folder}: not in a git repository, which --since needs: omit --since, or name a folder of a clone"
        ) from error


def _entries(output: str) -> Iterator[tuple[str, str]]:
    """Yields (status, old name) from the output of `--name-status -z`, without records that were only moved."""
    fields = iter(output.strip("\0\n").split("\0"))
    for field in fields:
        status = field.strip()
        if not status:
            continue
        name = next(fields)
        new = next(fields) if status.startswith("R") else name
        if status == MOVED and _is_still_record(name, new):
            continue
        yield ("D" if status == MOVED else status), name


def _is_still_record(name: str, new: str) -> bool:
    """Returns whether `verify` and the tables still find a moved file, under the same file name."""
    return Path(name).name == Path(new).name and not any(part.startswith(".") for part in Path(new).parts)


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)
    except FileNotFoundError as error:
        raise MissingPackage("git is not installed, and --since needs it: install git, or omit --since") from error
    return os.fsdecode(done.stdout)
