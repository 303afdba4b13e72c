"""The sessions that the spool knows; nothing is believed that a record does not say now."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from runner.record import record, spool
from runner.record.sections.head import ContainerInfo
from runner.record.sessionrecord import SessionRecord
from runner.study.recorded import cache, known
from runner.study.recorded.known import Known
from tests.support.derive import typed
from tests.support.energies import energy_record
from tests.support.records import cpu_record, example_record, failed_record

ROOT = Path(__file__).parents[4]
CONTAINER = {"engine": "docker", "image": "decode-floor:hopper-modern", "digest": f"sha256:{'a' * 64}", "tree_key": ""}
FILES = ["cell/cell.py", "job.py"]


def put(folder: Path, found: dict[str, Any], session: str) -> Path:
    """Writes a record into the spool under its own name, and returns its path."""
    made = typed({**found, "session": {**found["session"], "id": session}})
    path = folder / record.file_name(made.cell, made.session)
    record.write(made, path)
    return path


def counted_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Returns a list that grows by each record that is read."""
    reads: list[Path] = []
    read = record.read

    def counted(path: Path) -> dict[str, Any]:
        reads.append(path)
        return read(path)

    monkeypatch.setattr(known.record, "read", counted)
    return reads


def test_a_measured_session_is_known_by_what_decides_whether_it_counts(tmp_path: Path) -> None:
    found = example_record(
        container=CONTAINER, session={"study": "floor", "index": 3, "seed": 5}, keys={"code_files": FILES}
    )
    path = put(tmp_path, found, "a")
    (session,) = known.read(tmp_path).sessions
    assert session == Known(
        path=path,
        session_id="a",
        study="floor",
        seed=5,
        index=3,
        started_ms=found["session"]["started_ms"],
        cell_key=found["keys"]["cell_key"],
        protocol=typed(found).protocol,
        status="measured",
        reason=None,
        message=None,
        signal=None,
        valid=True,
        reasons=(),
        flags=tuple(found["flags"]),
        container=CONTAINER["digest"],
        code_key=found["keys"]["code_key"],
        code_files=tuple(FILES),
        env_key=found["keys"]["env_key"],
        versions={name: found["environment"].get(name) for name in record.ENV_KEY_VERSIONS},
        host_id=found["keys"]["host_id"],
        energy=False,
        host_condition=None,
        cost_s=found["cost_s"],
    )
    assert session.is_measured
    assert session.cost_s["total"] == found["cost_s"]["total"]
    assert {"import", "fixed"} <= session.cost_s.keys()


def test_a_failed_session_is_known_with_its_reason(tmp_path: Path) -> None:
    put(tmp_path, failed_record("failed"), "a")
    (session,) = known.read(tmp_path).sessions
    assert (session.status, session.reason, session.signal) == ("failed", "worker-failed", "SIGSEGV")
    assert session.message == "the worker was killed by SIGSEGV; its last output: Fatal Python error"
    assert session.reasons == (session.message,)
    assert (session.valid, session.is_measured, session.cost_s) == (False, False, {})
    assert (session.code_key, session.code_files, session.env_key, session.host_id) == (None, None, None, None)
    assert (session.versions, session.cost_s, session.container) == ({}, {}, None)


def test_a_session_that_is_not_valid_is_known_with_its_reasons(tmp_path: Path) -> None:
    found = example_record(bytes={"weights_measured": 1})
    put(tmp_path, found, "a")
    (session,) = known.read(tmp_path).sessions
    assert (session.is_measured, session.valid, session.reasons) == (True, False, tuple(found["reasons"]))


def test_sessions_of_all_folders_are_known_the_second_time_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that an A/B left, and in the same order."""
    found = [example_record(keys={"code_files": FILES}), cpu_record(container=CONTAINER), failed_record("oom")]
    for number, folder in enumerate((tmp_path, tmp_path / "ab-of-runtimes", tmp_path / "z" / "deeper")):
        for each in found:
            put(folder, each, f"{number}-{each['outcome']['status']}-{each['cell']['gpu']}")
    (tmp_path / "ab-of-runtimes" / spool.MANIFEST_NAME).write_text("{}")
    first = known.read(tmp_path)
    assert len(first.sessions) == 9
    assert first.unreadable == ()
    reads = counted_reads(monkeypatch)
    assert known.read(tmp_path) == first
    assert reads == []
    assert [each.path for each in first.sessions] == spool.record_files(tmp_path)


def test_a_session_that_just_ended_is_known_as_its_file_is(tmp_path: Path) -> None:
    for number, found in enumerate(
        (example_record(keys={"code_files": FILES}), cpu_record(), failed_record("timeout"))
    ):
        path = put(tmp_path / str(number), found, "a")
        made: SessionRecord = typed({**found, "session": {**found["session"], "id": "a"}})
        assert known.read(tmp_path / str(number)).sessions == (known.of_record(made, path),)


def test_only_a_record_whose_file_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, changed, gone = (put(tmp_path, example_record(session={"index": index}), f"{index}") for index in range(3))
    known.read(tmp_path)
    text = changed.read_text()
    changed.write_text(text.replace('"valid": true', '"valid": false'))
    gone.unlink()
    new = put(tmp_path, example_record(session={"index": 9}), "9")
    reads = counted_reads(monkeypatch)
    found = known.read(tmp_path)
    assert reads == [changed, new]
    assert {each.path: each.valid for each in found.sessions} == {kept: True, changed: False, new: True}
    assert known.read(tmp_path) == found
    assert len(reads) == 2


def test_the_same_size_at_another_time_is_another_file(tmp_path: Path) -> None:
    path = put(tmp_path, example_record(), "a")
    status = os.stat(path)
    known.read(tmp_path)
    path.write_text(path.read_text().replace('"study": "adhoc"', '"study": "other"'))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert os.stat(path).st_size == status.st_size
    assert known.read(tmp_path).sessions[0].study == "other"


def test_another_size_at_the_same_time_is_another_file(tmp_path: Path) -> None:
    path = put(tmp_path, example_record(), "a")
    status = os.stat(path)
    known.read(tmp_path)
    path.write_text(path.read_text().replace('"study": "adhoc"', '"study": "longer"'))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert known.read(tmp_path).sessions[0].study == "longer"


def test_a_copy_of_a_session_is_the_same_session(tmp_path: Path) -> None:
    path = put(tmp_path / "spool", example_record(), "a")
    put(tmp_path / "spool copied", example_record(), "a")
    put(tmp_path / "spool copied", example_record(session={"index": 1}), "b")
    found = known.read(tmp_path)
    assert [(each.session_id, each.path.parent.name) for each in found.sessions] == [
        ("a", "spool"),
        ("b", "spool copied"),
    ]
    assert found.sessions[0].path == path


def _truncated(path: Path) -> None:
    path.write_text('{"schema_version": 1, "sess')


def _of_newer_schema(path: Path) -> None:
    path.write_text('{"schema_version": 99}')


def _with_another_type(path: Path) -> None:
    found = json.loads(path.read_text())
    found["keys"]["code_files"] = "job.py"
    path.write_text(json.dumps(found))


def _without_an_environment_field(path: Path) -> None:
    found = json.loads(path.read_text())
    del found["environment"]["torch"]
    path.write_text(json.dumps(found))


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _a_broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_truncated, "not a complete JSON file"),
        (_of_newer_schema, "it has schema_version 99, this version reads 1"),
        (_with_another_type, "damaged record: keys.code_files: 'job.py' is not an array"),
        (_without_an_environment_field, "damaged record: environment.torch is missing"),
        (_a_folder, "cannot be read (not a file but a folder)"),
        (_a_broken_link, "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_hides_no_other(
    tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    put(tmp_path, example_record(), "a")
    path = put(tmp_path, example_record(session={"index": 1}), "b")
    assert len(known.read(tmp_path).sessions) == 2
    damage(path)
    for _ in range(2):
        found = known.read(tmp_path)
        assert [each.session_id for each in found.sessions] == ["a"]
        (unreadable,) = found.unreadable
        assert unreadable.path == path
        assert unreadable.reason.startswith(reason)


def test_a_spool_that_does_not_exist_has_no_sessions_and_is_not_made(tmp_path: Path) -> None:
    assert known.read(tmp_path / "spool") == known.Found((), ())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"not what was written", b"\x00\xff"])
def test_a_cache_that_is_damaged_or_of_another_version_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    put(tmp_path, example_record(), "a")
    first, kept = known.read(tmp_path), (tmp_path / known.CACHE_NAME).read_bytes()
    (tmp_path / known.CACHE_NAME).write_bytes(content)
    assert known.read(tmp_path) == first
    assert (tmp_path / known.CACHE_NAME).read_bytes() == kept
    monkeypatch.setattr(known, "FORM", "sessions 2")
    reads = counted_reads(monkeypatch)
    assert known.read(tmp_path) == first
    assert len(reads) == 1


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    put(tmp_path, example_record(), "a")
    monkeypatch.setattr(cache, "write_text_durably", refuse)
    assert len(known.read(tmp_path).sessions) == 1
    assert not (tmp_path / known.CACHE_NAME).exists()


def test_the_cache_is_no_record_and_follows_the_spool(tmp_path: Path) -> None:
    path = put(tmp_path / "spool", example_record(), "a")
    before = known.read(tmp_path / "spool")
    assert spool.record_files(tmp_path / "spool") == [path]
    (tmp_path / "spool").rename(tmp_path / "moved")
    (session,) = known.read(tmp_path / "moved").sessions
    assert session == replace(before.sessions[0], path=tmp_path / "moved" / path.name)


def test_a_spool_is_known_by_any_of_its_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, example_record(), "a")
    known.read(tmp_path)
    monkeypatch.chdir(tmp_path)
    reads = counted_reads(monkeypatch)
    (session,) = known.read(Path()).sessions
    assert session.path == Path(path.name)
    assert reads == []


def test_each_field_is_kept(tmp_path: Path) -> None:
    """A field that the cache forgets, or mixes up, would be another the second time."""
    container = ContainerInfo(**CONTAINER)
    made = replace(typed(example_record(keys={"code_files": FILES})), container=container, flags=("b", "a"))
    record.write(made, tmp_path / record.file_name(made.cell, made.session))
    first, second = (known.read(tmp_path).sessions[0] for _ in range(2))
    for field in fields(Known):
        assert getattr(second, field.name) == getattr(first, field.name), field.name
        assert type(getattr(second, field.name)) is type(getattr(first, field.name)), field.name


@pytest.mark.medium
def test_committed_sessions_are_known(tmp_path: Path) -> None:
    files = spool.record_files(ROOT / "experiments")
    for file in files:
        shutil.copy(file, tmp_path)
    found = known.read(tmp_path)
    assert found.unreadable == ()
    assert {each.path.name for each in found.sessions} == {file.name for file in files}
    assert known.read(tmp_path) == found


def test_a_session_that_measured_energy_is_known_by_its_request(tmp_path: Path) -> None:
    put(tmp_path, energy_record(), "a")
    for _ in range(2):  # from the record, then from the cache
        assert [session.energy for session in known.read(tmp_path).sessions] == [True]
