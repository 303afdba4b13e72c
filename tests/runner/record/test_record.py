"""The file of a record: what is refused when one is read, its key and its name."""

import errno
import json
import os
from pathlib import Path

import pytest

from runner.cell.cell import short_hash
from runner.errors import BadRecord, DiskFull
from runner.record import record
from runner.record.verify import recompute
from tests.support.records import example_record, failed_record


def test_the_key_of_the_environment_is_the_workers(tiny_job):
    from runner.worker import environment

    assert record.env_key(environment.environment(tiny_job, 0)) == short_hash(environment.versions(tiny_job), 12)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a complete JSON file"),
        (b"{", "not a complete JSON file"),
        (b"\x00\xff\xfe\x80", "cannot be read ('utf-8' codec"),
        (b"[]", "not a record of this project"),
        (b"3", "not a record of this project"),
        (b'{"schema": "some.other", "version": 1}', "a file of the schema 'some.other', not a record"),
        (b'{"schema_version": 99}', "schema_version 99, this version reads 1"),
        (b'{"schema_version": 1}', "damaged record, without session, request"),
        (b'{"schema_version": 1, "outcome": []}', "damaged record, without session, request"),
        (b'{"schema_version": 1, "valid": NaN}', "NaN is not a number in JSON"),
        (b"[" * 100_000, "not a complete JSON file"),
        (b'{"schema_version": 1' + b"0" * 5000, "not a complete JSON file"),
        (b" " * (record.MAXIMUM_BYTES + 1), "larger than any record"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_file_that_is_no_record_is_refused_in_one_line(content, reason, tmp_path):
    (tmp_path / "x.json").write_bytes(content)
    for read in (record.read, recompute.read_verified):
        with pytest.raises(BadRecord) as caught:
            read(tmp_path / "x.json")
        assert str(caught.value).startswith(f"{tmp_path}/x.json: {reason}"[: len(str(tmp_path)) + 8])
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("outcome", [[], None, {}, {"status": ["measured"]}, {"status": "done"}])
def test_an_outcome_that_is_none_is_refused_in_one_line(outcome):
    with pytest.raises(BadRecord, match=r"x.json: damaged record, unknown outcome"):
        record.parse(json.dumps({**failed_record(), "outcome": outcome}), "x.json")


@pytest.mark.parametrize("section", record.ALWAYS_PRESENT[1:])
def test_a_record_without_a_section_is_no_whole_one(section):
    found = {name: value for name, value in failed_record().items() if name != section}
    with pytest.raises(BadRecord, match=rf"x.json: damaged record, without {section}: restore the file"):
        record.parse(json.dumps(found), "x.json")


@pytest.mark.parametrize("section", record.MEASURED_ONLY)
def test_a_measurement_without_a_section_is_no_whole_one(section):
    found = {name: value for name, value in example_record().items() if name != section}
    with pytest.raises(BadRecord, match=rf"x.json: damaged record, without {section}: restore the file"):
        record.parse(json.dumps(found), "x.json")
    assert f"damaged record: {section} is missing" in recompute.differences(found)


def test_what_is_not_there_or_no_file_is_said(tmp_path):
    with pytest.raises(BadRecord, match="no such file"):
        record.read(tmp_path / "x.json")
    with pytest.raises(BadRecord, match="not a file"):
        record.read(tmp_path)


def test_the_record_reaches_the_disk_before_its_name_and_the_name_before_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut leaves the whole record or none: fsync of the file, rename, fsync of the folder."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        target = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        done.append(f"sync {'folder' if target.is_dir() else target.read_text()}")
        fsync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        done.append(f"name {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    record.write_text_durably(path, "{}\n")
    # without a reserve there is nothing to rename first but what is not there
    assert done[-3:] == ["sync {}\n", "name record.json", "sync folder"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_while_a_record_is_written_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(_: int) -> None:
        raise OSError(number, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="no space left to write"):
        record.write_text_durably(path, "{}\n")
    assert list(path.parent.iterdir()) == []


def test_a_file_larger_than_any_record_is_not_read(path: Path) -> None:
    path.parent.mkdir()
    with open(path, "wb") as file:
        file.truncate(record.MAXIMUM_BYTES + 1)
    with pytest.raises(BadRecord, match="any record"):
        record.read(path)
    # five passes of 131072 steps, of up to 14 digits each, are the most that a record holds
    assert 5 * 131_072 * 14 < record.MAXIMUM_BYTES < 2**26
