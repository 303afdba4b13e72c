"""A study file: its keys, and whatever is no study file."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from runner.ab import arms
from runner.counts import listed
from runner.errors import BadPair, BadValue, DecodeFloorError, UnknownName
from runner.files.yamlnode import MOST_VALUES
from runner.plan.request import Request
from runner.study.declaration import studyfile
from runner.study.declaration.choices import FIELDS
from runner.study.declaration.expansion import MOST_CELLS
from runner.study.declaration.keys import KEYS
from runner.study.declared import Arms, Entry, Study
from tests.support.processes import ROOT
from tests.support.studyfiles import read

MATRIX = "matrix: {gpu: l4}\n"
ARMS = "arms: {a: {runtime: eager}, b: {runtime: graph}}\n"


def test_a_whole_file(tmp_path: Path) -> None:
    text = f"name: mine\ndescription: a comparison\nsessions: 7\nextension: 5\nprotocol: tail\n{MATRIX}{ARMS}"
    request = Request(gpu="l4", study="mine", protocol="tail")
    entry = Entry(request, Arms("runtime", "eager", "graph"), "floor.yaml:6: matrix")
    assert read(tmp_path, text) == Study("mine", 7, 5, (entry,))


def test_the_defaults_of_cells(tmp_path: Path) -> None:
    entry = Entry(Request(gpu="l4", study="floor"), None, "floor.yaml:1: matrix")
    assert read(tmp_path, MATRIX) == Study("floor", 3, 0, (entry,))


def test_arms_have_ten_sessions_each_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    assert (read(tmp_path, MATRIX + ARMS).sessions, read(tmp_path, MATRIX + ARMS).extension) == (10, 0)
    assert read(tmp_path, f"{MATRIX}{ARMS}sessions: 5\n").sessions == 5


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (
            f"{MATRIX}session: 3",
            UnknownName,
            ":2: session: unknown key; did you mean sessions? (allowed: name, descrip",
        ),
        (f"{MATRIX}excludes: []", UnknownName, ":2: excludes: unknown key; did you mean exclude?"),
        (
            "colour: red",
            UnknownName,
            ":1: colour: unknown key (allowed: name, description, sessions, extension, order, protocol",
        ),
        ("gpu: l4", BadValue, ":1: gpu: a field of the matrix: write it there, as `matrix: {gpu: …}`"),
        (f"{MATRIX}windows: 3", BadValue, ":2: windows: a field of the matrix: write it there"),
        ("1: l4", BadValue, ":1: the name 1 is not text to YAML: write it in quotes"),
        ("name: x", BadValue, ":1: measures nothing: add a matrix, a mapping such as `matrix: {gpu: auto, ctx: [2048"),
        ("{}", BadValue, ":1: measures nothing: add a matrix"),
        ("include: []", BadValue, ":1: include: an empty list: add an item, or leave the key out"),
        (f"{MATRIX}include: []", BadValue, ":2: include: an empty list: add an item, or leave the key out"),
        (f"{MATRIX}exclude: []", BadValue, ":2: exclude: an empty list: add an item, or leave the key out"),
        (f"{MATRIX}include: {{gpu: l4}}", BadValue, ":2: include: a mapping is not a list: write one, with a hyphen"),
        (f"{MATRIX}exclude:", BadValue, ":2: exclude: null is not a list: write one, with a hyphen before each item"),
        (
            "include: [{gpu: l4}]\nexclude: [{gpu: l4}]",
            BadPair,
            ":2: exclude: there is no matrix to leave cells out of",
        ),
        (f"{MATRIX}sessions: 0", BadValue, ":2: sessions: 0 is not a whole number from 1 to 10000: write one"),
        (f"{MATRIX}sessions: -1", BadValue, ":2: sessions: -1 is not a whole number from 1 to 10000: write one"),
        (f"{MATRIX}sessions: 10001", BadValue, ":2: sessions: 10001 is not a whole number from 1 to 10000: write one"),
        (f"{MATRIX}sessions: true", BadValue, ":2: sessions: true is not a whole number from 1 to 10000: write one"),
        (f"{MATRIX}sessions: '3'", BadValue, ":2: sessions: '3' is not a whole number from 1 to 10000: write one"),
        (f"{MATRIX}sessions: [3]", BadValue, ":2: sessions: a list is not a whole number from 1 to 10000: write one"),
        (f"{MATRIX}sessions:", BadValue, ":2: sessions: null is not a whole number from 1 to 10000: write one"),
        (
            f"{MATRIX}{ARMS}extension: -1",
            BadValue,
            ":3: extension: -1 is not a whole number from 0 to 10000: write one",
        ),
        (
            f"{MATRIX}extension: 5",
            BadPair,
            ":2: extension: without arms there is no interval to make narrower: add arm",
        ),
        (
            f"{MATRIX}protocol: papers",
            UnknownName,
            ":2: protocol: unknown protocol 'papers'; did you mean paper? (allo",
        ),
        (
            f"{MATRIX}protocol: [paper, tail]",
            BadValue,
            ":2: protocol: a list is not a value of protocol: write text or",
        ),
        (f"{MATRIX}protocol:", BadValue, ":2: protocol: null is not a value of protocol: write auto, or leave"),
        (f"{MATRIX}description: 5", BadValue, ":2: description: 5 is not text: write some, or leave it out"),
        (f"{MATRIX}name: 5", BadValue, ":2: name: 5 is no name of a study: write text, in quotes"),
        (f"{MATRIX}name: a b", BadValue, ":2: name: 'a b' is no name of a study: use letters, digits and . _ + = ~ -"),
        (f"{MATRIX}name: a/b", BadValue, ":2: name: 'a/b' is no name of a study: use letters, digits and . _ + = ~ -"),
        (f"{MATRIX}name: ../up", BadValue, ":2: name: '../up' is no name of a study: use letters, digits and"),
        (f"{MATRIX}name: ''", BadValue, ":2: name: '' is no name of a study: use letters, digits and . _ + = ~ -"),
        (f"{MATRIX}name: auto", BadValue, ":2: name: 'auto' is no name of a study: use letters, digits and"),
        (f"{MATRIX}name: floor.2", BadValue, ":2: name: 'floor.2' is no name of a study: do not end it with a point"),
        (f"{MATRIX}name: {'x' * 101}", BadValue, ":2: name: 'xxxxxxxxxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxx"),
        (
            f"{MATRIX}order: random",
            BadValue,
            ":2: order: 'random' is no order of sessions: write by-cell or interleaved",
        ),
        (
            f"{MATRIX}arms: {{a: {{}}, b: {{}}}}\norder: interleaved",
            BadPair,
            ":3: order: the sessions of arms always alternate: remove order",
        ),
        (f"{MATRIX}name:", BadValue, ":2: name: null is no name of a study: write text, in quotes"),
        ("matrix: {gpu: l4}\nmatrix: {gpu: h100}", BadValue, ": 'matrix' occurs twice, in lines 1 and 2: keep one of"),
        ("- gpu: l4", BadValue, ":1: a list is not a mapping of names to values: write one"),
        ("", BadValue, ":1: null is not a mapping of names to values: write one"),
        ("just text", BadValue, ":1: 'just text' is not a mapping of names to values: write one"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_key(
    tmp_path: Path, text: str, kind: type[DecodeFloorError], said: str
) -> None:
    with pytest.raises(DecodeFloorError) as caught:
        read(tmp_path, text + "\n")
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"floor.yaml{said}")


@pytest.mark.parametrize("name", ["qwen2.5-7b.yaml", "a_b+c.yml", "v1.2-final"])
def test_a_study_has_the_files_name(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, MATRIX, name).name == Path(name).stem


@pytest.mark.parametrize("name", ["my study.yaml", "auto.yaml", "floor.2.yaml", "é.yaml"])
def test_a_files_name_that_is_no_name_of_a_study_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadValue, match=r"the study has the file's name, .*, or add the key name$"):
        read(tmp_path, MATRIX, name)
    assert read(tmp_path, f"name: mine\n{MATRIX}", name).name == "mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"matrix: {gpu: \xff}\n", "not YAML (position 14: invalid leading UTF-8 octet)"),
        (b"matrix: {gpu: l4\n", "not YAML (line 2, column 1: did not find expected ',' or '}')"),
        (b"\tmatrix: {}\n", "not YAML (line 1, column 1: found character that cannot start any token)"),
        (b"PK\x03\x04", "not YAML (position 2: control characters are not allowed)"),
        (b"matrix: " + b"[" * 900, "its brackets or lists are nested too deeply"),
        (b"matrix: {gpu: *nothing}\n", "not YAML (line 1, column 15: found undefined alias 'nothing')"),
        (b"#" * (studyfile.MOST_BYTES + 1), "larger than any study file (1 MiB)"),
    ],
)
def test_what_is_no_yaml_is_one_line(tmp_path: Path, text: bytes, said: str) -> None:
    with pytest.raises(BadValue) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=f"^{tmp_path}/no.yaml: cannot be read .No such file or directory"):
        studyfile.read(tmp_path / "no.yaml")
    with pytest.raises(BadValue, match=f"^{tmp_path}: cannot be read .not a file but a folder"):
        studyfile.read(tmp_path)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(BadValue, match="not a file but a pipe or a device"):
        studyfile.read(tmp_path / "pipe.yaml")


def test_anchors_and_merges_spare_repetition(tmp_path: Path) -> None:
    text = "include:\n  - &a {gpu: l4, ctx: &c [64, 128]}\n  - {<<: *a, gpu: h100}\n  - {gpu: cpu, ctx: *c}\n"
    requests = [entry.request for entry in read(tmp_path, text).entries]
    assert [(request.gpu, request.ctx) for request in requests] == [
        (gpu, ctx) for gpu in ("l4", "h100", "cpu") for ctx in ("64", "128")
    ]


def test_aliases_of_aliases_are_refused_at_once(tmp_path: Path) -> None:
    """Each list has nine times the one before it."""
    lists = "".join(f"    - &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 30))
    with pytest.raises(BadValue, match=r"^floor\.yaml: has more than 250000 values, with those of anchors written out"):
        read(tmp_path, f"matrix:\n  ctx:\n    - &l0 [x]\n{lists}")


def test_merges_of_merges_are_read_at_once(tmp_path: Path) -> None:
    """Each mapping merges nine copies of the one before it."""
    merges = "".join(f"  - &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}], seed: {i}}}\n" for i in range(1, 30))
    assert len(read(tmp_path, "include:\n  - &m0 {gpu: l4, ctx: 64}\n" + merges).entries) == 30


DOCS = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")


def test_the_page_describes_each_key_and_names_each_field() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", DOCS, re.MULTILINE)
    assert rows == [*KEYS.items()]
    words = " ".join(DOCS.split())
    assert listed([f"`{name}`" for name in FIELDS], "and") in words
    assert listed([f"`{name}`" for name in arms.FIELDS], "and") in words


def test_the_examples_of_the_page_are_studies(tmp_path: Path) -> None:
    first, with_arms = (
        read(tmp_path, text) for text in re.findall(r"^```yaml\n(.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)
    )
    assert (len(first.entries), len(first.entries) * first.sessions) == (7, 35)
    assert {entry.arms for entry in with_arms.entries} == {Arms("runtime", "eager", "graph")}


def test_the_page_states_the_limits() -> None:
    limits = (f"{studyfile.MOST_BYTES >> 20} MiB", *(f"{n:,}".replace(",", " ") for n in (MOST_VALUES, MOST_CELLS)))
    assert [limit for limit in limits if limit not in " ".join(DOCS.split())] == []
