"""The id of MLflow's run, beside a record that is not written yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.record import sidecar, spool

RUN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def beside(path: Path) -> Path:
    """The sidecar of `path`."""
    return path.with_name("record.json.run-id")


def test_a_run_is_remembered_beside_a_record_that_does_not_exist_yet(path: Path, beside: Path) -> None:
    sidecar.remember_run(path, RUN)
    assert sidecar.sidecar_path(path) == beside
    assert sidecar.remembered_run(path) == RUN
    assert spool.record_files(path.parent) == []  # it is no record itself
    sidecar.remember_run(path, "of-another")
    assert sidecar.remembered_run(path) == "of-another"


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"../../etc/passwd", b"a/b", b"-x", b"two words", b"\xff\xfe", b"a" * 257]
)
def test_what_is_no_id_of_a_run_is_none(path: Path, beside: Path, content: bytes) -> None:
    beside.parent.mkdir()
    beside.write_bytes(content)
    assert sidecar.remembered_run(path) is None


def test_without_a_sidecar_or_with_a_folder_in_its_place_there_is_no_run(path: Path, beside: Path) -> None:
    assert sidecar.remembered_run(path) is None
    beside.mkdir(parents=True)
    assert sidecar.remembered_run(path) is None


def test_runs_of_records_that_never_came_are_forgotten_and_others_stay(path: Path) -> None:
    other = path.with_name("other.json")
    for each in (path, other):
        sidecar.remember_run(each, RUN)
    sidecar.forget_runs([path, path.with_name("without-one.json")])
    assert (sidecar.remembered_run(path), sidecar.remembered_run(other)) == (None, RUN)
