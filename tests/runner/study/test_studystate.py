"""A study remembers what its file was, and its rounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.errors import BadRecord, BadValue
from runner.study import studystate
from runner.study.declared import Arms
from tests.support.studies import entry, study


def test_the_state_of_an_unmeasured_study_is_absent(tmp_path: Path) -> None:
    assert studystate.read(tmp_path, "s") is None


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    state = replace(studystate.state_of(study(entry())), rounds=3)
    studystate.write(tmp_path, state)
    assert studystate.read(tmp_path, "s") == state
    assert list(tmp_path.rglob("*.json")) == [tmp_path / ".studies" / "s.json"]


def test_entries_are_kept_in_words_without_private_paths() -> None:
    entries = (entry(weights="/home/me/secret"), entry(Arms("cache", "dynamic", "static")), entry(device="GPU-12ab"))
    assert studystate.state_of(study(*entries)).entries == (
        "gpu=cpu model=tiny ctx=64 weights=local",
        "gpu=cpu model=tiny ctx=64 cache=dynamic/static",
        "gpu=cpu model=tiny ctx=64 device=by-uuid",
    )


def test_a_redo_begins_a_round_with_a_name_of_its_own() -> None:
    first = studystate.continued(study(entry()), None, [], redo=False)
    assert (first.rounds, first.tag) == (1, "s")
    second = studystate.continued(study(entry()), first, [], redo=True)
    assert (second.rounds, second.tag) == (2, "s.2")
    assert studystate.continued(study(entry()), second, [], redo=False).tag == "s.2"


@pytest.mark.parametrize(
    ("recorded", "redo", "tag"),
    [
        (["s", "s.2", "s.11", "x.50"], False, "s.11"),
        (["s", "s.2"], True, "s.3"),
        (["other"], True, "s.2"),  # the first round would count the other study's sessions
        (["s.x", "s.02", "s.2.7", "s7"], False, "s"),
    ],
)
def test_a_lost_state_begins_no_round_again(recorded: list[str], redo: bool, tag: str) -> None:
    assert studystate.continued(study(entry()), None, recorded, redo).tag == tag


def test_changes_of_the_file_are_told() -> None:
    before = studystate.state_of(study(entry(), entry(ctx="128")))
    after = studystate.state_of(study(entry(), entry(ctx="256"), sessions=5))
    assert list(studystate.changes(before, after)) == [
        "sessions: 5, was 3",
        "added: gpu=cpu model=tiny ctx=256",
        "removed: gpu=cpu model=tiny ctx=128; the sessions that were measured stay",
    ]
    assert list(studystate.changes(before, before)) == []


def test_a_long_list_of_changes_is_counted() -> None:
    before = studystate.state_of(study(entry()))
    after = studystate.state_of(study(entry(), *(entry(ctx=str(ctx)) for ctx in (65, 66, 67, 68, 69))))
    (text,) = studystate.changes(before, after)
    assert text.endswith("ctx=67; and 2 more cells")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "s"}', "\x00"])
def test_a_damaged_state_is_one_line_with_what_to_do(tmp_path: Path, text: str) -> None:
    studystate.write(tmp_path, studystate.state_of(study(entry())))
    (tmp_path / ".studies" / "s.json").write_text(text)
    with pytest.raises(BadRecord, match=r"not the state of a study .*: remove it; nothing is lost"):
        studystate.read(tmp_path, "s")


def test_a_spool_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "spool").touch()
    with pytest.raises(BadValue, match=r"the spool .*spool cannot be written .*: choose another with --spool"):
        studystate.read(tmp_path / "spool", "s")
