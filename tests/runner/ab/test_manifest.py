"""The manifest by itself: what it counts, what it is called, and which files are none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.ab import arms, manifest
from runner.ab.manifest import Block, Manifest, SessionEntry
from runner.cell.jsonform import to_json
from runner.cell.protocol import Protocol
from runner.errors import BadRecord
from runner.plan.request import Request
from tests.support.damaged import DEEP

RECORDS = Path(__file__).parents[3] / "experiments" / "records"
REQUEST = Request(gpu="cpu", model="tiny", ctx="64")


def declared(field: str = "cache", sessions: int = 3, extension: int = 2, **changes: str) -> Manifest:
    values = ("auto", "auto") if field == "none" else ("dynamic", "static")
    return manifest.declare(arms.pair(replace(REQUEST, **changes), field, *values, ()), sessions, extension)


def block(order: str, measured: str, *, wrong: tuple[int, ...] = (), host: str = "one") -> Block:
    entries = [
        SessionEntry(place, arm, f"{place:016x}", f"{place}.json", place not in wrong, 0.0)
        for place, arm in enumerate(measured)
    ]
    return Block(host, order, tuple(entries))


def told(**changes: Any) -> str:
    return json.dumps({**to_json(declared()), **changes})


def test_a_manifest_says_what_was_declared() -> None:
    found = declared()
    assert (found.field, found.implied, found.asked, found.blocks) == ("cache", {}, (3,), ())
    assert (found.declared.sessions, found.declared.extension) == (3, 2)
    assert [(arm.value, arm.cell.cache) for arm in found.arms.values()] == [
        ("dynamic", "dynamic"),
        ("static", "static"),
    ]
    assert (found.protocol, found.seed, found.study) == (Protocol("paper", 5, 30), 0, "adhoc")
    assert (len(found.id), found.id) == (12, found.computed_id)


@pytest.mark.medium
def test_its_id_is_of_what_is_compared_and_not_of_how_often() -> None:
    assert declared(sessions=9, extension=0).id == declared().id
    others = [declared(**change) for change in ({"seed": "1"}, {"study": "s"}, {"steps": "40"}, {"ctx": "128"})]
    assert len({declared().id, declared("none").id, *(other.id for other in others)}) == 6
    assert replace(declared(), field="runtime").computed_id != declared().id
    swapped = declared()
    a, b = swapped.arms["a"], swapped.arms["b"]
    assert replace(swapped, arms={"a": b, "b": a}).computed_id != swapped.id


def test_its_title_and_folder_name_the_arms_and_what_they_share() -> None:
    found = declared()
    assert found.title == "dynamic/static tiny 64 bf16 eager cpu"
    assert manifest.folder_of(Path("s"), found) == Path(f"s/ab-tiny-64-dynamic-static-{found.id}")
    same = declared("none")
    assert same.title == "A/A tiny 64 bf16 eager dynamic cpu"
    assert manifest.folder_of(Path("s"), same) == Path(f"s/ab-tiny-64-aa-{same.id}")


def test_a_long_value_is_named_whole_and_a_checkpoint_by_its_first_digits() -> None:
    models = arms.pair(Request(gpu="cpu", ctx="64"), "model", "tiny", "qwen2.5-0.5b", ())
    assert manifest.declare(models, 1, 0).title.startswith("tiny/qwen2.5-0.5b 64 ")
    found = declared()
    weights_id = "content-0123456789abcdef"
    arm = replace(found.arms["a"], value=weights_id, cell=replace(found.arms["a"].cell, weights_id=weights_id))
    assert arm.word == "01234567"


def test_a_folders_name_has_no_separator_of_paths_or_options() -> None:
    found = declared()
    entries = {name: replace(arm, value=f"org/{name}:1") for name, arm in found.arms.items()}
    name = manifest.folder_of(Path("s"), replace(found, arms=entries)).name
    assert name == f"ab-tiny-64-org_a=1-org_b=1-{found.id}"


def test_a_block_counts_when_all_of_it_is_measured_and_valid() -> None:
    assert block("abba", "abba").is_complete
    assert not block("abba", "abb").is_complete
    assert not block("abba", "abba", wrong=(2,)).is_complete
    assert block("abba", "abb").is_sound
    assert not block("abba", "ab", wrong=(0,)).is_sound
    assert [block("abba", "abba"[:count]).next_arm for count in range(4)] == ["a", "b", "b", "a"]


def test_sessions_in_complete_blocks_are_done_and_all_are_kept() -> None:
    blocks = (block("abba", "abba"), block("baab", "baa"), block("ab", "ab"), block("ba", "ba", wrong=(1,)))
    found = replace(declared(), blocks=blocks)
    assert found.complete == (blocks[0], blocks[2])
    assert found.done == 3
    assert "".join(entry.arm for entry in found.sessions) == "abbabaaabba"


@pytest.mark.parametrize(
    ("asked", "holds"), [((3,), True), ((3, 5), True), ((5, 3), True), ((3, 4), False), ((2,), False), ((3, 6), False)]
)
def test_it_is_as_declared_at_the_declared_size_and_at_the_extended_one(asked: tuple[int, ...], holds: bool) -> None:
    assert replace(declared(), asked=asked).as_declared is holds


def test_a_manifest_survives_its_file(tmp_path: Path) -> None:
    found = replace(declared(), asked=(3, 5), blocks=(block("abba", "ab", wrong=(1,)), block("ab", "ab", host="two")))
    manifest.write(found, tmp_path)
    assert manifest.read(tmp_path / "ab.json") == found
    assert (tmp_path / "ab.json").read_text().endswith("}\n")


@pytest.mark.parametrize("path", sorted(RECORDS.rglob("ab.json")), ids=lambda path: path.parent.name)
def test_the_text_of_a_committed_manifest_is_reproduced(path: Path) -> None:
    assert manifest.read(path).text == path.read_text()


def test_what_is_implied_keeps_both_values() -> None:
    assert manifest.parse(told(implied={"options": [{}, {"mode": "default"}]}), "x").implied == {
        "options": ({}, {"mode": "default"})
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not a manifest of an A/B"),
        ("[]", "not a manifest of an A/B"),
        ("{}", "not a manifest of an A/B"),
        (
            told(schema_version=2),
            "it has schema_version 2, this version reads 1: read it with the version of Decode Floor that wrote",
        ),
        (told(blocks=[{}]), r"damaged manifest \(blocks\[0\]\.host_id is missing\)"),
        (told(seed="0" * 999), r"damaged manifest \(seed: '0+\.\.\.0+' is not of type int\)"),
        (told(blocks=3), "damaged manifest"),
        (told(arms={"a": {}}), "damaged manifest"),
        (told(asked=None), "damaged manifest"),
        (told(unknown=1), "damaged manifest"),
        (told(declared={"sessions": 3}), "damaged manifest"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused_by_its_name(text: str, said: str) -> None:
    with pytest.raises(BadRecord, match=rf"^here/ab\.json: {said}"):
        manifest.parse(text, "here/ab.json")


def test_a_session_of_a_third_arm_is_refused() -> None:
    entry = {"index": 0, "arm": "c", "session": "0", "file": "x.json", "valid": True, "cooled_s": 0.0}
    text = told(blocks=[{"host_id": "one", "order": "ab", "sessions": [entry]}])
    with pytest.raises(BadRecord, match=r"^ab\.json: damaged manifest \(session 0 is of arm 'c', which is neither"):
        manifest.parse(text, "ab.json")


@pytest.mark.parametrize("name", ["../x.json", "/x.json", "a/b.json", "."])
def test_a_record_of_another_folder_is_not_looked_for(name: str) -> None:
    entry = {"index": 0, "arm": "a", "session": "0", "file": name, "valid": True, "cooled_s": 0.0}
    text = told(blocks=[{"host_id": "one", "order": "ab", "sessions": [entry]}])
    with pytest.raises(BadRecord, match="is not a plain file name"):
        manifest.parse(text, "ab.json")


def test_a_manifest_that_is_not_there_or_no_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match=r"ab\.json: cannot be read"):
        manifest.read(tmp_path / "ab.json")
    (tmp_path / "ab.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(BadRecord, match=r"ab\.json: cannot be read"):
        manifest.read(tmp_path / "ab.json")


@pytest.mark.parametrize("text", DEEP)
def test_a_manifest_of_brackets_without_end_is_damaged(text: str) -> None:
    with pytest.raises(
        BadRecord, match=r"^m: not a manifest of an A/B \(ValueError: brackets nested too deeply\): restore"
    ):
        manifest.parse(text, "m")
