"""Records are added, never changed: what git knows of those that were committed before."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.errors import BadRecord, BadValue, MissingPackage
from runner.record.spool import MANIFEST_NAME

CHANGED = "changed"
CHANGES = {"M": CHANGED, "D": "deleted", "T": CHANGED}
MOVED = "R100"  # under another name, byte for byte the same


def changed(since: str, folders: Sequence[Path]) -> list[str]:
    """Returns a line for each record (*.json) below these folders that was committed at `since`, or after it, and has
    been changed or deleted, in a commit or in the working tree.

    Raises BadValue where git does not know `since`, BadRecord where a folder lies in no repository, MissingPackage
    where there is no git.
    """
    return sorted({line for folder in folders for line in _changed_below(since, folder.resolve())})


def _changed_below(since: str, folder: Path) -> Iterator[str]:
    start = _commit(since, folder)
    options = ("--name-status", "-z", "--find-renames=100%", "--diff-filter=MDTR", "--relative")
    history = _git(folder, "log", "--format=", "-m", "--first-parent", *options, f"{start}..HEAD", "--", ".")
    now = _git(folder, "diff", *options, "HEAD", "--", ".")
    direct = _git(folder, "diff", *options, start, "--", ".")
    for status, name in (*_entries(history), *_entries(now), *_entries(direct)):
        grows = Path(name).name == MANIFEST_NAME and CHANGES[status[0]] == CHANGED  # an A/B that goes on
        if name.endswith(".json") and not grows:
            yield f"{folder / name}: {CHANGES[status[0]]} since {since}: a record is measured anew, never edited"


def _commit(since: str, folder: Path) -> str:
    if not folder.is_dir():
        raise BadRecord(f"{folder}: no folder of records, and --since asks git about folders")
    try:
        return _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{since}^{{commit}}").strip()
    except subprocess.CalledProcessError as error:
        _check_repository(folder)
        raise BadValue(
            f"--since {since}: git knows no such commit here (in a shallow clone: git fetch --unshallow)"
        ) from error


def _check_repository(folder: Path) -> None:
    try:
        _git(folder, "rev-parse", "--git-dir")
    except subprocess.CalledProcessError as error:
        raise BadRecord(f"{folder}: in no git repository, which --since needs") from error


def _entries(output: str) -> Iterator[tuple[str, str]]:
    """(status, the old name) of `--name-status -z`; a record that only moved is left out."""
    fields = iter(output.strip("\0\n").split("\0"))
    for field in fields:
        status = field.strip()
        if not status:
            continue
        name = next(fields)
        new = next(fields) if status.startswith("R") else name
        if status == MOVED and _is_still_a_record(name, new):
            continue
        yield ("D" if status == MOVED else status), name


def _is_still_a_record(name: str, new: str) -> bool:
    """Is a moved file one that `verify` and the tables find, by its own name?"""
    return Path(name).name == Path(new).name and not any(part.startswith(".") for part in Path(new).parts)


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)
    except FileNotFoundError as error:
        raise MissingPackage("git is not installed, and --since asks it what became of committed records") from error
    return os.fsdecode(done.stdout)
