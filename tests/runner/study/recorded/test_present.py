"""A session counts if it was of the code and environment that one would have now; if it was not, the reason is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.cell.cell import Cell
from runner.machine import versions
from runner.record import codekey, record
from runner.record.sections.head import ContainerInfo
from runner.study.recorded import known, present
from runner.study.recorded.known import Known
from runner.study.recorded.present import Present
from tests.support.derive import typed
from tests.support.records import cpu_record, failed_record

ROOT = Path(__file__).parents[4]
FILES = ("__init__.py", "counts.py", "layout.py", "record/__init__.py", "record/bounds.yaml")
DRIVER = "580.95.05"
RECORD = typed(cpu_record())
CELL: Cell = RECORD.cell
NOW = ContainerInfo("docker", "decode-floor:cpu", f"sha256:{'a' * 64}", "")


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the listed files, as a package of its own."""
    for file in (*FILES, "jsonoutput.py"):
        target = tmp_path / "runner" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "runner" / file, target)
    monkeypatch.setattr(codekey, "PACKAGE", tmp_path / "runner")
    return tmp_path / "runner"


def known_session(**changes: Any) -> Known:
    """A session of today's code and environment in this interpreter, but for the changes."""
    stated = versions.installed(CELL, DRIVER)
    today = {
        "code_files": FILES,
        "code_key": codekey.key_of_files(FILES, {}),
        "versions": stated,
        "env_key": record.env_key_of(stated),
    }
    return replace(known.of_record(RECORD, Path("record.json")), **{**today, **changes})


@pytest.fixture
def session() -> Known:
    return known_session()


@pytest.fixture
def said(tmp_path: Path) -> Callable[..., str | None]:
    """A function that returns the difference of a session, by a fresh look."""

    def difference(
        session: Known, container: ContainerInfo | None = None, driver: str | None = DRIVER, cell: Cell = CELL
    ) -> str | None:
        return Present(tmp_path / "spool").difference(session, cell, container, driver)

    return difference


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))


def test_a_session_of_now_is_not_different(session: Known, said: Callable[..., str | None]) -> None:
    assert said(session) is None


def test_an_edit_of_a_listed_file_is_other_code(session: Known, said: Callable[..., str | None], package: Path) -> None:
    edit(package / "counts.py", " == ", " != ")
    assert said(session) == "the project's code has changed since"


@pytest.mark.parametrize("file", ["counts.py", "record/bounds.yaml"])
def test_a_listed_file_that_is_gone_is_other_code(
    session: Known, said: Callable[..., str | None], package: Path, file: str
) -> None:
    (package / file).unlink()
    assert said(session) == "the project's code has changed since"


def test_words_and_other_modules_are_not_the_code(
    session: Known, said: Callable[..., str | None], package: Path
) -> None:
    edit(package / "counts.py", '"""', '"""Other words: ')
    (package / "jsonoutput.py").write_text("CHANGED = 1\n")
    assert said(session) is None


def test_an_import_of_another_module_is_other_code(
    session: Known, said: Callable[..., str | None], package: Path
) -> None:
    """The words of imports are no part of `code_key`: this edit does not change the key of the same files."""
    with (package / "counts.py").open("a") as file:
        file.write("from runner import layout\n")
    assert said(session) is None
    with (package / "counts.py").open("a") as file:
        file.write("from runner import jsonoutput as layout\n")
    assert codekey.key_of_files(FILES, {}) == session.code_key
    assert said(session) == "the project's code has changed since"


def test_code_that_is_not_listed_cannot_be_compared(said: Callable[..., str | None]) -> None:
    text = "it cannot be told whether the code is the same: the session was measured by an older version"
    assert said(known_session(code_files=None)) == text


def test_a_session_that_failed_has_no_code(said: Callable[..., str | None]) -> None:
    failed = known.of_record(typed(failed_record("oom")), Path("record.json"))
    assert said(failed) == said(failed, NOW) == "nothing was measured"


def with_versions(**changed: str | None) -> Known:
    stated = {**versions.installed(CELL, DRIVER), **changed}
    return known_session(versions=stated, env_key=record.env_key_of(stated))


@pytest.mark.parametrize("name", ["python", "torch", "transformers", "driver_major"])
def test_another_version_is_another_environment(said: Callable[..., str | None], name: str) -> None:
    now = versions.installed(CELL, DRIVER)[name]
    assert said(with_versions(**{name: "0.9"})) == f"{name} is {now}, and was 0.9"


def test_the_package_of_the_cells_kernel_is_part_of_the_environment(
    said: Callable[..., str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "of_package", lambda package: f"of {package}")
    session = known_session()
    assert said(session) is None
    other = replace(CELL, kernel="bitsandbytes")
    assert said(session, cell=other) == "kernel_package is of bitsandbytes, and was None"


def test_another_driver_is_another_environment(session: Known, said: Callable[..., str | None]) -> None:
    assert said(session, driver="580.1") is None
    assert said(session, driver="590.1") == "driver_major is 590, and was 580"


def test_an_environment_of_another_key_is_never_the_same(said: Callable[..., str | None]) -> None:
    assert said(known_session(env_key="0" * 12)) == "the environment has changed since"


def test_in_a_container_the_image_decides(said: Callable[..., str | None]) -> None:
    """Its code and packages may be other ones than those here."""
    measured = known_session(container=NOW.digest, code_key="0" * 12, code_files=None, env_key="0" * 12)
    assert said(measured, NOW) is None
    assert said(measured, replace(NOW, engine="podman", image="another name")) is None
    again = replace(NOW, digest=f"sha256:{'b' * 64}")
    assert said(measured, again) == "the image is sha256:bbbbbbbbbbbb, and was sha256:aaaaaaaaaaaa"


def test_no_image_has_the_driver(said: Callable[..., str | None]) -> None:
    measured = known_session(container=NOW.digest)
    assert said(measured, NOW, "590.1") == "driver_major is 590, and was 580"
    assert said(measured, NOW, "580.1") is None


def test_a_session_in_a_container_and_one_outside_are_not_the_same(
    session: Known, said: Callable[..., str | None]
) -> None:
    assert said(session, NOW) == "it was measured in an interpreter, and would run in a container now"
    in_container = replace(session, container=NOW.digest)
    assert said(in_container) == "it was measured in a container, and would run in this interpreter now"


def test_files_and_packages_are_looked_at_once_for_many_sessions(
    session: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    key_of_files, installed = codekey.key_of_files, versions.installed
    monkeypatch.setattr(codekey, "key_of_files", lambda *given: looks.append("files") or key_of_files(*given))
    monkeypatch.setattr(versions, "installed", lambda *given: looks.append("packages") or installed(*given))
    today = Present(tmp_path / "spool")
    for index in range(1000):
        assert today.difference(replace(session, index=index), CELL, None, DRIVER) is None
    assert looks == ["files", "packages"]
    assert today.difference(replace(session, code_files=FILES[:2]), CELL, None, DRIVER) is not None
    assert looks == ["files", "packages", "files"]


def test_the_next_command_does_not_analyse_the_same_files_again(
    session: Known, said: Callable[..., str | None], package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said(session) is None
    analysed: list[str] = []
    essence = codekey.sourcetext.essence
    monkeypatch.setattr(codekey.sourcetext, "essence", lambda text: analysed.append(text) or essence(text))
    assert said(session) is None
    assert analysed == []
    edit(package / "counts.py", " == ", " != ")
    assert said(session) == present.OTHER_CODE
    assert analysed == [(package / "counts.py").read_text()]


def test_hashes_of_another_way_to_make_them_are_not_used(
    session: Known, said: Callable[..., str | None], package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said(session) is None
    monkeypatch.setattr(codekey, "__file__", str(package / "layout.py"))
    monkeypatch.setattr(codekey.sourcetext, "essence", lambda text: text)
    assert said(session) == present.OTHER_CODE
