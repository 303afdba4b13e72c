"""Values of a YAML file know their line and their path of names."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import BadPair, BadValue
from runner.files import yamlnode
from runner.files.yamlnode import Node

TEXT = """\
# a comment
first: 1
second:
  inner:
    - a
    - {deep: b}
  flow: [c,
    d]
"""


def read(folder: Path, text: str) -> Node:
    (folder / "file.yaml").write_text(text)
    return yamlnode.read(folder / "file.yaml", 2**20, "any test file")


def test_a_member_has_the_line_of_its_name_and_an_item_its_own(tmp_path: Path) -> None:
    file = read(tmp_path, TEXT)
    second = file.members()["second"]
    items = second.members()["inner"].items()
    found = [file.members()["first"], second, *items, items[1].members()["deep"], second.members()["flow"].items()[1]]
    assert [(node.place, node.line) for node in found] == [
        ("file.yaml:2: first", 2),
        ("file.yaml:3: second", 3),
        ("file.yaml:5: second.inner[0]", 5),
        ("file.yaml:6: second.inner[1]", 6),
        ("file.yaml:6: second.inner[1].deep", 6),
        ("file.yaml:8: second.flow[1]", 8),
    ]
    assert [node.value for node in (found[0], found[2], found[4])] == [1, "a", "b"]


def test_a_merged_member_has_the_line_where_it_is_written(tmp_path: Path) -> None:
    file = read(tmp_path, "a: &a\n  x: 1\n  y: 1\nb:\n  <<: *a\n  y: 2\n")
    members = file.members()["b"].members()
    assert {name: (node.line, node.value) for name, node in members.items()} == {"x": (2, 1), "y": (6, 2)}


def test_an_error_has_the_place_and_the_kind_that_is_asked_for(tmp_path: Path) -> None:
    node = read(tmp_path, TEXT).members()["first"]
    assert (type(node.error("no")), str(node.error("no"))) == (BadValue, "file.yaml:2: first: no")
    assert type(node.error("no", BadPair)) is BadPair


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "file.yaml:1: null is not a mapping of names to values: write one"),
        ("- a\n", "file.yaml:1: a list is not a mapping of names to values: write one"),
        ("a:\n  1: b\n", "file.yaml:2: a: the name 1 is not text to YAML: write it in quotes"),
        ("a: yes\n", "file.yaml:1: a: true is not a mapping of names to values: write one"),
    ],
)
def test_what_is_no_mapping_of_names_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadValue) as caught:
        read(tmp_path, text).members().get("a", Node("", 0, "", {})).members()
    assert str(caught.value) == said


def test_what_is_no_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=r"^file.yaml:1: a: a mapping is not a list: write one, with a hyphen before"):
        read(tmp_path, "a: {b: c}\n").members()["a"].items()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("? [a]\n: b\n", "not YAML (line 1, column 3: a name must be text)"),
        ("a: !!map b\n", "not YAML (line 1, column 4: expected a mapping)"),
        ("a: !!seq b\n", "not YAML (line 1, column 4: expected a list)"),
        ("a: !!python/object:os.system b\n", "not YAML (line 1, column 4: could not determine a constructor"),
        ("a: 1\n---\nb: 2\n", "not YAML (line 2, column 1: but found another document)"),
        ("a: 1\na: 2\n", "file.yaml: 'a' occurs twice, in lines 1 and 2: keep one of them"),
    ],
)
def test_what_is_no_yaml_is_one_line_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadValue) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)


def test_an_alias_shares_its_value(tmp_path: Path) -> None:
    members = read(tmp_path, "a: &a [1, 2]\nb: *a\n").members()
    assert members["a"].value is members["b"].value
    assert [item.place for item in members["b"].items()] == ["file.yaml:1: b[0]", "file.yaml:1: b[1]"]


@pytest.mark.parametrize("kind", ["omap", "pairs"])
def test_a_list_of_pairs_is_a_list(tmp_path: Path, kind: str) -> None:
    (item,) = read(tmp_path, f"a: !!{kind} [b: 1]\n").members()["a"].items()
    assert item.place == "file.yaml:1: a[0]"
    assert item.members()["b"].value == 1


ALIASES = "l0: &l0 [x]\n" + "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 30))
"""Each list has nine times the one before it: written out, the last would fill any memory."""


@pytest.mark.parametrize(
    "text", [ALIASES, "a: &a [1, *a]\n", "a: &a {b: *a}\n", f"a: &a [{'1, ' * 1000}]\nb: [{'*a, ' * 250}]\n"]
)
def test_aliases_that_stand_for_too_many_values_are_refused_at_once(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadValue, match=r"^file\.yaml: has more than 250000 values, with those of anchors written out"):
        read(tmp_path, text)


@pytest.mark.medium
def test_aliases_that_stand_for_many_values_are_read(tmp_path: Path) -> None:
    file = read(tmp_path, f"a: &a [{'1, ' * 1000}]\nb: [{'*a, ' * 240}]\n")
    assert sum(len(item.items()) for item in file.members()["b"].items()) == 240_000


def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=r"larger than any test file \(1 MiB\)"):
        read(tmp_path, "#" * (2**20 + 1))
