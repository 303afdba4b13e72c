"""Private folders are taken out of a text in every spelling, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner import arguments
from runner.redaction import privatepaths


@pytest.mark.parametrize("path", ["/data/acme/tune", "~/acme/tune", "./acme/tune", "acme/tune/", "acme", "/d ä/acme"])
def test_a_path_is_hidden_in_every_way_that_a_message_writes_it(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "acme-home"))
    monkeypatch.chdir(tmp_path)
    whole = Path(path).expanduser().absolute()
    hidden = arguments.private(["cell", "--weights", path])
    for said in (
        f"weights={path}: no such folder",
        f"cannot open '{whole}/config.json'",
        f"{whole.as_uri()}/config.json",
        f"weights={whole}: no such folder",
    ):
        shown = privatepaths.without(said, hidden)
        assert "acme" not in shown, shown
        assert privatepaths.WEIGHTS in shown


def test_the_files_that_links_lead_to_are_hidden_too(tmp_path: Path) -> None:
    (tmp_path / "acme-blobs").mkdir()
    blob = tmp_path / "acme-blobs" / "0123"
    blob.touch()
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.safetensors").symlink_to(blob)
    hidden = privatepaths.folder(str(tmp_path / "snapshot"), "<weights>")
    assert privatepaths.without(f"{blob}: Input/output error", hidden) == "<weights>: Input/output error"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["ab", "--field", "runtime", "--a", "eager", "--b", "graph"], "a=eager and b=graph"),
        (["cell", "--weights", "synthetic"], "weights=synthetic on /dev/nvidia0"),
        (["cell", "--weights=hub"], "weights=hub of acme/tune"),
        (["cell", "--weights", "env:NOT_SET_ANYWHERE"], "the variable NOT_SET_ANYWHERE is not set"),
    ],
)
def test_what_is_no_path_stays(typed: list[str], said: str) -> None:
    assert privatepaths.without(said, arguments.private(typed)) == said


def test_a_folder_whose_name_is_not_utf8_is_taken_out_too() -> None:
    hidden = privatepaths.folder("/srv/s\udcff", privatepaths.SPOOL)
    for written in ("/srv/s\udcff", "/srv/s%FF", r"/srv/s\udcff"):
        assert privatepaths.without(f"at {written}/x", hidden) == "at <spool>/x"
