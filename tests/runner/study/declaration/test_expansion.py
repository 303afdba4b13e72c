"""Expansion of a matrix: its product without what is excluded, and the cells that are included."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from runner.errors import BadPair, BadValue, DecodeFloorError
from tests.support import cputime
from tests.support.studyfiles import read


def cells(folder: Path, text: str) -> list[tuple[str, ...]]:
    """Returns gpu, model, ctx and quant of each cell of a study."""
    requests = [entry.request for entry in read(folder, text).entries]
    return [(request.gpu, request.model, request.ctx, request.quant) for request in requests]


MATRIX = "matrix:\n  gpu: [h100, l4]\n  model: tiny\n  ctx: [64, 128]\n"


def test_a_matrix_is_every_combination_the_first_field_slowest(tmp_path: Path) -> None:
    assert cells(tmp_path, MATRIX) == [
        ("h100", "tiny", "64", "auto"),
        ("h100", "tiny", "128", "auto"),
        ("l4", "tiny", "64", "auto"),
        ("l4", "tiny", "128", "auto"),
    ]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ("[{gpu: l4, ctx: 128}]", [("h100", "64"), ("h100", "128"), ("l4", "64")]),
        ("[{gpu: l4}]", [("h100", "64"), ("h100", "128")]),
        ("[{gpu: l4, ctx: [64, 128]}]", [("h100", "64"), ("h100", "128")]),
        ("[{gpu: l4, ctx: '64'}, {gpu: h100, ctx: 128}]", [("h100", "64"), ("l4", "128")]),
        ("[{gpu: l4, ctx: 64}, {gpu: l4, model: tiny}]", [("h100", "64"), ("h100", "128")]),
    ],
)
def test_a_cell_that_matches_every_field_of_an_exclude_is_left_out(
    tmp_path: Path, exclude: str, left: list[tuple[str, str]]
) -> None:
    assert [(gpu, ctx) for gpu, _, ctx, _ in cells(tmp_path, f"{MATRIX}exclude: {exclude}\n")] == left


def test_an_include_is_a_matrix_of_its_own_with_the_single_values_of_the_matrix(tmp_path: Path) -> None:
    """gpu and ctx have two values in the matrix: auto. model has one: tiny."""
    found = cells(tmp_path, f"{MATRIX}include:\n  - {{ctx: 256, quant: [awq, gptq]}}\n  - {{model: auto}}\n")[4:]
    assert found == [("auto", "tiny", "256", "awq"), ("auto", "tiny", "256", "gptq"), ("auto", "auto", "auto", "auto")]


def test_includes_need_no_matrix(tmp_path: Path) -> None:
    text = "include:\n  - &base {gpu: l4, ctx: 64}\n  - {<<: *base, ctx: 128}\n"
    assert cells(tmp_path, text) == [("l4", "auto", "64", "auto"), ("l4", "auto", "128", "auto")]


def test_each_cell_says_where_it_comes_from(tmp_path: Path) -> None:
    study = read(tmp_path, f"{MATRIX}include:\n  - quant: awq\n  - {{quant: gptq}}\n")
    assert [entry.place for entry in study.entries] == [
        *["floor.yaml:1: matrix"] * 4,
        "floor.yaml:6: include[0]",
        "floor.yaml:7: include[1]",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exclude: [{gpu: a100}]", "5: exclude[0].gpu: matches nothing: the matrix has no gpu=a100 (it has h100, l4)"),
        (
            "exclude: [{ctx: [64, 65]}]",
            "5: exclude[0].ctx[1]: matches nothing: the matrix has no ctx=65 (it has 64, 12",
        ),
        ("exclude: [{quant: awq}]", "5: exclude[0].quant: matches nothing: the matrix has no quant: remove it"),
        ("exclude: [{gpu: l4}, {gpu: l4, ctx: 64}]", "5: exclude[1]: all of these cells are left out by earlier items"),
        ("exclude: [{gpu: l4}, {gpu: l4}]", "5: exclude[1]: all of these cells are left out by earlier items: remove"),
        ("exclude: [{gpu: [h100, l4]}]", "5: exclude[0]: leaves no cell of the matrix: remove it, or name more fields"),
        ("exclude: [{gpu: h100}, {gpu: l4}]", "5: exclude[1]: leaves no cell of the matrix: remove it, or name more"),
        ("exclude: [{model: tiny}]", "5: exclude[0]: leaves no cell of the matrix"),
        (
            "exclude: [{gpu: l4}]\ninclude: [{gpu: l4, ctx: 256}]",
            "5: exclude[0]: leaves out a cell that floor.yaml:6: include[0] adds (model=tiny gpu=l4 ctx=256): correct",
        ),
        (
            "include: [{gpu: l4, ctx: 64}]",
            "5: include[0]: repeats a cell of floor.yaml:1: matrix (model=tiny gpu=l4 ctx=64): remove one of them",
        ),
        (
            "include:\n - {gpu: l4, ctx: 256}\n - {gpu: l4, quant: auto, ctx: [512, 256]}",
            "7: include[1]: repeats a cell of floor.yaml:6: include[0] (model=tiny gpu=l4 quant=auto ctx=256): remove",
        ),
    ],
)
def test_parts_that_contradict_each_other_are_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DecodeFloorError) as caught:
        read(tmp_path, f"{MATRIX}{text}\n")
    assert type(caught.value) is BadPair
    assert str(caught.value).startswith(f"floor.yaml:{said}")


def test_an_exclude_of_auto_matches_an_included_cell_without_the_field(tmp_path: Path) -> None:
    with pytest.raises(BadPair, match=r"leaves out a cell that floor\.yaml:3: include"):
        read(tmp_path, "matrix: {runtime: [auto, graph]}\nexclude: [{runtime: auto}]\ninclude: [{quant: awq}]\n")


def test_a_product_that_fills_the_memory_is_refused_at_once(tmp_path: Path) -> None:
    fields = "".join(
        f"  {name}: [{', '.join(map(str, range(1, 101)))}]\n" for name in ("ctx", "seed", "steps", "warmup")
    )
    with pytest.raises(BadValue, match=r"^floor\.yaml:1: matrix: 100000000 cells are too many for one study"):
        read(tmp_path, "matrix:\n" + fields)


def test_many_includes_count_together(tmp_path: Path) -> None:
    """Each has 100 × 100 cells."""
    hundred = f"[{', '.join(map(str, range(1, 101)))}]"
    items = "".join(f"  - {{steps: {steps}, ctx: {hundred}, seed: {hundred}}}\n" for steps in range(3, 14))
    with pytest.raises(BadValue, match=r"^floor\.yaml:12: include\[10\]: 110000 cells are too many"):
        read(tmp_path, "include:\n" + items)


@pytest.mark.medium
def test_a_study_of_ten_thousand_cells_is_read_in_a_moment(tmp_path: Path) -> None:
    """100 seeds × 101 contexts without 100 pairs. Measured: 0.15 s; the bound leaves room for a busy machine."""
    excluded = "".join(f"  - {{seed: {n}, ctx: {n + 1}}}\n" for n in range(100))
    written = f"matrix:\n  seed: {[*range(100)]}\n  ctx: {[*range(1, 102)]}\nexclude:\n{excluded}"
    study, took_s = cputime.timed(lambda: read(tmp_path, written))
    expected = {(seed, ctx) for seed, ctx in product(range(100), range(1, 102)) if ctx != seed + 1}
    assert len(study.entries) == 10_000
    assert {(int(entry.request.seed), int(entry.request.ctx)) for entry in study.entries} == expected
    assert took_s < 1
