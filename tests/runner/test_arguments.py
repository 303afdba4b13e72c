"""A command line is read without its parser: the spool, and the private folders that no published text may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner import arguments
from runner.redaction import privatepaths


@pytest.mark.parametrize(
    ("typed", "folder"),
    [
        (["cell"], "spool"),
        (["cell", "--spool", "there"], "there"),
        (["cell", "--spool=there/deep"], "there/deep"),
        (["cell", "--spool"], "spool"),  # without a value, which the parser refuses
        (["cell", "--spoolx", "there"], "spool"),
    ],
)
def test_the_spool_is_found_in_either_spelling(typed: list[str], folder: str) -> None:
    assert arguments.spool(typed) == Path(folder)


def published(text: str, *typed: str) -> str:
    return privatepaths.without(text, arguments.private(typed))


def test_arms_are_private_only_where_they_are_weights() -> None:
    ab = ("ab", "--a", "/data/one", "--b=/data/two")
    said = "a=/data/one b=/data/two"
    assert published(said, *ab, "--field", "weights") == f"a={privatepaths.WEIGHTS} b={privatepaths.WEIGHTS}"
    assert published(said, *ab, "--field", "runtime") == said


def test_every_folder_of_a_repeated_option_is_private() -> None:
    typed = ("cell", "--weights", "/data/one", "--weights=/data/two")
    assert published("/data/one, /data/two", *typed) == f"{privatepaths.WEIGHTS}, {privatepaths.WEIGHTS}"


def test_a_folder_behind_a_variable_is_private_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "/data/tune")
    assert published("no such folder: /data/tune", "cell", "--weights", "env:MINE") == "no such folder: <weights>"


def test_spool_and_caches_are_private_in_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "/data/cache")
    said = published("from /data/cache/x to /data/spool/y", "import", "--spool", "/data/spool")
    assert said == f"from {privatepaths.CACHE}/x to {privatepaths.SPOOL}/y"


def test_a_path_in_place_of_a_variables_name_is_private_too() -> None:
    assert published("cannot open /data/tune/x", "cell", "--weights", "env:/data/tune") == "cannot open <weights>/x"
