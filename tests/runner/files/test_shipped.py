"""Files beside the packages are found in a checkout and in an installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.files import shipped


def test_a_checkout_has_the_catalogue_at_its_top() -> None:
    root = Path(__file__).parents[3]
    assert shipped.folder("experiments") == root / "experiments"
    assert (shipped.folder("experiments") / "gpus.yaml").is_file()


def test_an_installation_has_its_copies_in_a_folder_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the top of site-packages, `experiments` could be anybody's."""
    monkeypatch.setattr(shipped, "INSTALLED", tmp_path / "decode_floor")
    (tmp_path / "decode_floor").mkdir()
    assert shipped.folder("experiments") == tmp_path / "decode_floor" / "experiments"
