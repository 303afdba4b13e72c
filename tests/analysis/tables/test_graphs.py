"""The CUDA Graphs table from manifests and records."""

from dataclasses import replace
from pathlib import Path

import polars
import pytest

from analysis import ab, paper
from analysis.sources.records import Folder
from analysis.tables import graphs, papercheck
from runner.record import record
from tests.support.commands import command
from tests.support.frames import AB_ROW
from tests.support.records import example_record

ROOT = Path(__file__).parents[3]
RECORDS = ROOT / "experiments" / "records"
AB = next((RECORDS / "h200").glob("ab-qwen2.5-7b-2048-eager-graph-*"))
ROW_FIELDS = {
    *("gpu", "model", "ctx", "arm_a", "arm_b", "sessions", "ratio", "ratio_low", "ratio_high", "verdict"),
    *("interval", "hosts", "cv_a", "cv_b", "kernels_a", "kernels_b", "launch_us", "paper"),
}


@pytest.fixture(scope="module")
def table():
    return graphs.rows(ab.from_frame(Folder(RECORDS).frame(ab.NEEDED))[0])


@pytest.mark.slow
def test_the_committed_abs_have_ten_sessions_an_arm_at_2048_and_five_at_16384(table):
    assert [(row.ctx, row.arm_a, row.arm_b) for row in table] == [
        (2048, "eager", "graph"),
        (2048, "graph", "fused"),
        (16384, "eager", "graph"),
    ]
    assert [row.sessions for row in table] == [20, 10, 5]
    for row in table:
        assert row.to_json().keys() >= ROW_FIELDS
        assert row.cache == "static"
        assert row.ratio_low < row.ratio < row.ratio_high
        assert row.ratio == pytest.approx(row.a_ms / row.b_ms)


@pytest.mark.slow
def test_the_paper_stands_beside_what_it_measured():
    assert paper.graphs_row("h100", "qwen2.5-7b", 2048).ratio == 1.259
    assert paper.graphs_row("h200", "qwen2.5-7b", 2048) is None
    finished = command("graphs", "--records", "experiments/records").stdout
    assert "The paper, h100 qwen2.5-7b 2048: 14.828 → 11.776 ms, 1.259× [1.253, 1.267]" in finished


@pytest.mark.slow
def test_a_row_of_the_papers_own_cell_has_it_in_a_column(table):
    ours = replace(table[0], gpu="h100", paper=paper.graphs_row("h100", "qwen2.5-7b", 2048))
    text = graphs.TABLE.markdown([ours])
    assert "14.828 → 11.776 ms, 1.259× [1.253, 1.267]" in text.splitlines()[2]
    assert "The paper, h100" not in text


@pytest.mark.slow
def test_rows_that_differ_in_the_weights_do_not_look_alike(table):
    packed = replace(table[0], quant="awq", kernel="marlin")
    header, _, *lines = graphs.markdown([table[0], packed]).splitlines()
    assert header.startswith("| gpu | model | ctx | a | b | quant | n |")
    assert [line.split(" | ")[5] for line in lines[:2]] == ["bf16", "awq"]


def test_a_name_has_what_tells_it_from_abs_of_the_same_arms_alone():
    one = replace(AB_ROW, arm_a="eager", arm_b="graph", code_key_a="old", code_key_b="old")
    other = replace(one, arm_a="graph", arm_b="fused", code_key_a="new", code_key_b="new")
    place = f"{one.gpu} {one.model} {one.ctx}"
    assert graphs.names([one, other]) == [place, place]
    again = replace(one, code_key_a="newer", code_key_b="newer")
    assert graphs.names([one, other, again]) == [f"{place} old", place, f"{place} newer"]


def test_options_of_both_arms_are_in_table_names_and_sentences():
    usual, flash = AB_ROW, replace(AB_ROW, options="sdpa:flash", ab="1" * 12)
    place = f"{usual.gpu} {usual.model} {usual.ctx}"
    assert graphs.names([usual, flash]) == [place, f"{place} sdpa:flash"]
    header, _, *lines = graphs.markdown([usual, flash]).splitlines()
    assert header.startswith("| gpu | model | ctx | a | b | options | n |")
    assert [line.split(" | ")[5] for line in lines[:2]] == ["–", "sdpa:flash"]
    one, other = graphs.verdicts([usual, flash])
    assert one.startswith(f"{place}, eager against graph: FASTER")
    assert other.startswith(f"{place} sdpa:flash, eager against graph: FASTER")


def test_what_differs_in_the_second_arm_alone_is_told_too():
    modes = [{"options": ({}, {"mode": mode})} for mode in ("default", "reduce-overhead")]
    both = [replace(AB_ROW, arm_b="compile", implied=mode, ab=str(number)) for number, mode in enumerate(modes)]
    header, _, *lines = graphs.markdown(both).splitlines()
    assert header.startswith("| gpu | model | ctx | a | b | also different | n |")
    assert [line.split(" | ")[5] for line in lines[:2]] == [
        "options: none and mode:default",
        "options: none and mode:reduce-overhead",
    ]
    assert len({*graphs.names(both)}) == len({*graphs.verdicts(both)}) == 2


@pytest.mark.medium
def test_an_ab_with_an_option_supersedes_none_without():
    (usual,) = ab.from_frame(Folder(AB).frame(papercheck.NEEDED), bootstrapped=False)[0]
    table = graphs.rows([usual, with_flash(usual)])
    assert [(row.options, row.superseded) for row in table] == [("", 0), ("sdpa:flash", 0)]


def with_flash(usual):
    """The same A/B as if both arms had that option."""
    arms = usual.manifest.arms
    option = {name: replace(arm, cell=replace(arm.cell, options={"sdpa": "flash"})) for name, arm in arms.items()}
    keys = {arms[name].cell_key: arm.cell.key for name, arm in option.items()}
    sessions = {name: replace(one, cell_key=keys[one.cell_key]) for name, one in usual.sessions.items()}
    return replace(usual, manifest=replace(usual.manifest, arms=option, id="f" * 12), sessions=sessions)


def test_the_papers_figure_is_named_unless_an_ab_of_its_arms_has_it_in_a_column():
    figure = paper.graphs_row("h100", "qwen2.5-7b", 2048)
    fused = replace(AB_ROW, gpu="h100", arm_a="graph", arm_b="fused")
    assert any(text.startswith("The paper, h100 qwen2.5-7b 2048: ") for text in graphs.paper_sentences([fused]))
    ours = replace(fused, arm_a="eager", arm_b="graph", paper=figure)
    assert not any(text.startswith("The paper, h100 qwen2.5-7b 2048: ") for text in graphs.paper_sentences([ours]))


@pytest.mark.slow
def test_a_folder_without_an_ab_is_one_line(tmp_path):
    finished = command("ab", str(tmp_path))
    assert finished.returncode == 11
    assert "no A/B there" in finished.stderr
    record.write(example_record(), tmp_path / "one.json")
    finished = command("graphs", "--records", str(tmp_path))
    assert (finished.returncode, finished.stdout) == (24, "")
    assert "error: no A/B between runtimes was measured" in finished.stderr


@pytest.mark.medium
def test_an_ab_of_older_code_gives_way_to_the_newer():
    frame = Folder(AB).frame(papercheck.NEEDED)
    newer, older = ab.from_frame(frame)[0], ab.from_frame(with_older_code(frame))[0]
    shown = graphs.rows([*older, *newer])
    assert [(row.a_ms, row.superseded) for row in shown] == [(graphs.rows(newer)[0].a_ms, 1)]
    assert [row.superseded for row in graphs.rows([*older, *newer], every_code=True)] == [0, 0]


def with_older_code(frame):
    """The same A/B as if it had been measured earlier, by other code, in steps twice as long."""
    column = polars.col
    sessions = frame.sessions.with_columns(
        (column("started_ms") - 10**9).alias("started_ms"),
        polars.concat_str(polars.lit("old"), column("code_key")).alias("code_key"),
        (2 * column("step_wall_ms")).alias("step_wall_ms"),
    )
    return replace(frame, sessions=sessions)
