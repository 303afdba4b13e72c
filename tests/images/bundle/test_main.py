"""`python -m images.bundle`: its one line for each thing that can be wrong, and the same bytes twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from images.bundle import __main__ as command
from images.bundle import archive
from images.bundle.settings import ROOT
from tests.support.bundles import made
from tests.support.makefile import recipe

pytestmark = pytest.mark.usefixtures("no_index")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "Architecture '' is not known: choose ARCH=ada, ampere, blackwell, cpu or hopper"),
        (["volta"], "Architecture 'volta' is not known: choose ARCH=ada, ampere, blackwell, cpu or hopper"),
        (["blackwell", "--stack", "paper"], "There is no stack 'paper' for blackwell: choose STACK=modern"),
        (["ada", "--base", "mine"], "BASE=mine is not known: choose BASE=full or host-torch"),
        (["ada", "--python", "3.9"], "PYTHON_VERSION=3.9 is not known: choose PYTHON_VERSION=3.12 or 3.11"),
        (
            ["ada", "--kernels", "/no/such"],
            "KERNELS=/no/such is no folder: name one with compiled kernels (docs/containers.md describes it)",
        ),
        (
            ["ada", "--kernels", str(ROOT / "docs")],
            f"KERNELS={ROOT / 'docs'} has no kernels: neither archives (*.tar.*) nor wheels (*.whl): "
            "name a folder with some",
        ),
    ],
)
def test_what_there_is_not_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    assert command.main([*arguments, "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"{line}\n"
    assert list(tmp_path.iterdir()) == []


def test_make_passes_everything_on() -> None:
    told = ["ARCH=ada", "STACK=paper", "BASE=host-torch", "KERNELS=a b", "PYTHON_VERSION=3.11"]
    expected = '-m images.bundle "ada" --stack "paper" --base "host-torch" --kernels "a b" --python "3.11"'
    assert any(expected in line for line in recipe("bundle", *told))


@pytest.mark.medium
def test_a_full_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "write", full)
    assert command.main(["cpu", "--base", "host-torch", "--out", str(tmp_path)]) == 1
    said = (
        f"The bundle cannot be made in {tmp_path}: [Errno 28] No space left on device: "
        "free space, or name another folder with --out\n"
    )
    assert capsys.readouterr().err == said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.medium
def test_two_builds_give_the_same_bytes(tmp_path: Path, prebuilt: Path) -> None:
    asked = ("hopper", "--base", "host-torch", "--kernels", str(prebuilt))
    first, second = (made(tmp_path / name, *asked).read_bytes() for name in ("1", "2"))
    assert first == second
