"""The arms of a study file make every cell an A/B in one field, or an A/A."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import BadPair, BadValue, DecodeFloorError, UnknownName
from runner.study.declared import Arms
from tests.support.studyfiles import read

MATRIX = "matrix: {gpu: [h100, l4], ctx: 2048}\n"


def test_every_entry_has_the_arms(tmp_path: Path) -> None:
    study = read(tmp_path, MATRIX + "include: [{ctx: 64}]\narms:\n  a: {runtime: eager}\n  b: {runtime: graph}\n")
    assert [entry.arms for entry in study.entries] == [Arms("runtime", "eager", "graph")] * 3
    assert {entry.request.runtime for entry in study.entries} == {"auto"}


def test_values_of_arms_become_text(tmp_path: Path) -> None:
    study = read(tmp_path, "matrix: {gpu: l4}\narms: {a: {ctx: 2048}, b: {ctx: 4096}}\n")
    assert study.entries[0].arms == Arms("ctx", "2048", "4096")


def test_empty_arms_are_an_a_a(tmp_path: Path) -> None:
    study = read(tmp_path, MATRIX + "arms: {a: {}, b: {}}\n")
    assert [entry.arms for entry in study.entries] == [Arms("none", "auto", "auto")] * 2


@pytest.mark.parametrize(
    ("arms", "kind", "said"),
    [
        (
            "{a: {runtime: eager}, b: {cache: static}}",
            BadPair,
            "2: arms: the arms set runtime and cache: let them differ in one field, and write the others in the matrix",
        ),
        (
            "{a: {runtime: eager, cache: static}, b: {runtime: graph, cache: static}}",
            BadPair,
            "2: arms: the arms set r",
        ),
        (
            "{a: {runtime: eager, cache: static}, b: {runtime: graph}}",
            BadPair,
            "2: arms: the arms set runtime and cach",
        ),
        ("{a: {runtime: eager}, b: {}}", BadPair, "2: arms: arm b does not set runtime: give it a value in both arms"),
        ("{a: {}, b: {runtime: graph}}", BadPair, "2: arms: arm a does not set runtime: give it a value in both arms"),
        ("{a: {runtime: eager}, b: {runtime: eager}}", BadPair, "2: arms.b.runtime: both arms set eager: change one"),
        ("{a: {runtime: eager}, b: {runtime: auto}}", BadPair, "2: arms.b.runtime: an arm needs a value of its own"),
        ("{a: {runtime: eager}}", BadValue, "2: arms: arm b is missing: add it; a: {} and b: {} compare a cell with"),
        ("{}", BadValue, "2: arms: arm a is missing: add it"),
        ("[{runtime: eager}]", BadValue, "2: arms: a list is not a mapping of names to values: write one"),
        ("{a: {}, b: {}, c: {}}", UnknownName, "2: arms.c: unknown key (allowed: a, b)"),
        ("{a: {gpu: h100}, b: {gpu: l4}}", BadPair, "2: arms.a.gpu: both arms run on the same card: to compare GPUs"),
        (
            "{a: {seed: 0}, b: {seed: 1}}",
            BadPair,
            "2: arms.a.seed: the arms cannot differ in seed (allowed: model, ctx",
        ),
        ("{a: {runtimes: eager}, b: {}}", UnknownName, "2: arms.a.runtimes: unknown key; did you mean runtime?"),
        ("{a: {runtime: eagr}, b: {runtime: graph}}", UnknownName, "2: arms.a.runtime: unknown runtime 'eagr'; did yo"),
        (
            "{a: {runtime: [eager]}, b: {runtime: graph}}",
            BadValue,
            "2: arms.a.runtime: a list is not a value of runtim",
        ),
        ("{a: eager, b: graph}", BadValue, "2: arms.a: 'eager' is not a mapping of names to values: write one"),
        ("{a: {study: x}, b: {study: y}}", BadValue, "2: arms.a.study: not a field of the matrix: the study's name"),
    ],
)
def test_arms_that_make_no_a_b_are_refused(tmp_path: Path, arms: str, kind: type[DecodeFloorError], said: str) -> None:
    with pytest.raises(DecodeFloorError) as caught:
        read(tmp_path, MATRIX + f"arms: {arms}\n")
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"floor.yaml:{said}")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ("matrix: {runtime: eager}\n", "1: matrix.runtime: the arms set this field (floor.yaml:2: arms): leave it out"),
        (
            "include: [{ctx: 64}, {runtime: auto}]\n",
            "1: include[1].runtime: the arms set this field (floor.yaml:2: arm",
        ),
    ],
)
def test_a_field_of_the_arms_is_in_no_matrix(tmp_path: Path, parts: str, said: str) -> None:
    with pytest.raises(BadPair) as caught:
        read(tmp_path, parts + "arms: {a: {runtime: eager}, b: {runtime: graph}}\n")
    assert str(caught.value).startswith(f"floor.yaml:{said}")
