"""Whether files can be made in a folder, by a trial that leaves nothing behind."""

from __future__ import annotations

import pytest

from tests.support.looks import refusal


@pytest.mark.parametrize("place", ["/proc/mlflow.db", "/proc/x/mlflow.db"])
def test_a_folder_where_nothing_can_be_made_takes_no_store(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}")
    assert "cannot be used: /proc: " in refusal()
