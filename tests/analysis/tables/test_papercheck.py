"""Every figure of the paper beside ours."""

from dataclasses import replace

import pytest

from analysis import ab, paper
from analysis.tables import graphs, papercheck
from analysis.tables._quantpaper import paper_rows
from runner.cell import catalogue
from tests.support.frames import frame_of
from tests.support.papers import FLOOR_PAPER_MS, L4, checks, h100_check, on, rows_of, whole_gpu, with_cell
from tests.support.records import H100, example_record, packed_record


@pytest.mark.medium
def test_every_figure_that_the_project_quotes_is_checked():
    found = rows_of([example_record()])
    # 13 of Qwen, 4 of Llama; two of them in streamed bytes; low, high, median of four GPUs; the cells that fit, the one
    # named; 3 + 1 of the A/Bs; 4 quants, ExLlamaV2 in two ways
    assert len(found) == 17 + 2 + 12 + 2 + 4 + 5
    assert {row.verdict for row in found} == {"not measured", "fits here"}
    assert all(row.ours is None for row in found if row.verdict == "not measured")


@pytest.mark.medium
def test_only_a_cell_like_the_papers_stands_beside_its_figures():
    usual = on(H100, FLOOR_PAPER_MS / 0.27)
    for fields in ({"dtype": "fp32"}, {"attention": "flash-attn"}, {"options": {"sdpa": "math"}}, {"runtime": "graph"}):
        other = with_cell(on(H100, 300.0), **fields)
        other["session"]["started_ms"] += 10**9
        assert h100_check([usual, other]).verdict == "reproduces", fields
        assert h100_check([other]).verdict == "not measured", fields
    other = on(H100, 300.0, protocol={"name": "custom", "warmup": 1, "steps": 3})
    assert h100_check([other]).verdict == "not measured"


def test_a_cell_of_which_the_paper_has_two_steps_says_so_wherever_it_stands():
    # 15.349 GB at 3350 GB/s are 4.58 ms, of which .270 makes 16.97
    said = "The paper's R_floor of h100 qwen2.5-7b 2048, 0.270 for 15.35 GB, implies a step of 16.97 ms; "
    said += "the eager arm of its A/B takes 14.828 ms"
    l4 = "The paper's R_floor of l4 qwen2.5-7b 2048, 0.810 for 15.35 GB, implies a step of 63.16 ms; "
    assert paper.implied_ms(paper.floor_rows()[0]) == pytest.approx(FLOOR_PAPER_MS / 0.27)
    assert paper.two_steps("h100", "qwen2.5-7b", 2048) == said
    assert paper.two_steps("h100", "qwen2.5-7b", 4096) is None
    text = papercheck.TABLE.markdown(rows_of([example_record()]))
    assert f"- {said}\n" in text
    assert f"- {l4}" in text
    assert said in graphs.paper_sentences([])


@pytest.mark.medium
def test_the_headline_cells_stand_in_streamed_bytes_too():
    # 14.259 of 15.349 GB are streamed: .270 is .251, and .810 is .752
    shares = [row.paper for row in checks([example_record()], quantity="r_floor (the paper's, in streamed bytes)")]
    assert shares == [pytest.approx(0.251, abs=5e-4), pytest.approx(0.752, abs=5e-4)]


@pytest.mark.medium
def test_all_of_its_cells_fit_here():
    row = checks([example_record()], quantity="cells that fit")[0]
    # 4 GPUs × 3 models × 4 contexts = 48, of which the paper has 44
    # a prediction from bytes is no measurement: it stands in the reason
    assert (row.paper, row.ours, row.difference, row.verdict) == (44, None, None, "fits here")
    assert row.reason == "48 of 48 fit by our accounting, with logits of the last token only"
    (named,) = [one for one in checks([example_record()], gpu="l4", ctx=8192) if "memory" in one.quantity]
    assert (named.verdict, named.ours) == ("not measured", None)
    measured = on(L4, 60.0)
    measured["cell"]["ctx"] = 8192
    (named,) = [one for one in checks([measured], gpu="l4", ctx=8192) if "memory" in one.quantity]
    assert named.verdict == "fits here"
    assert named.ours == pytest.approx(measured["memory"]["peak_bytes"] / 1e9)


@pytest.mark.medium
def test_a_range_needs_all_cells_of_the_gpu():
    (row,) = checks([on(H100, 17.0)], quantity="r_floor_paper, median of 12 cells", gpu="h100")
    assert (row.verdict, row.reason) == ("not measured", "1 of 12 cells measured")
    (row,) = checks(list(whole_gpu(H100, [17.0])), quantity="r_floor_paper, median of 12 cells", gpu="h100")
    assert row.ours == pytest.approx(FLOOR_PAPER_MS / 17.0, rel=0.02)  # .270 beside the paper's .260
    assert row.verdict == "reproduces"


@pytest.mark.medium
def test_the_l4s_range_is_over_other_cells_than_ours():
    (row,) = checks(list(whole_gpu(L4, [60.0])), quantity="r_floor_paper, median of 8 cells", gpu="l4")
    assert row.reason.startswith("ours covers 12 cells; the paper's covers only some of them")
    assert sum(row.cells for row in paper.range_rows()) == paper.valid_cells()


@pytest.mark.medium
def test_a_quantised_step_stands_beside_the_same_kernels():
    ours = packed_record(step_ms=17.5)
    ours["cell"]["gpu"], ours["gpu"] = "l4", {**ours["gpu"], **L4}
    ours["keys"]["cell_key"] = "l4"
    (row,) = checks([ours], quantity="ms/step, gptq ExLlamaV2")
    assert (row.paper, row.verdict) == (17.36, "reproduces")
    assert row.ours == pytest.approx(17.5, rel=0.02)
    (engine,) = checks([ours], quantity="ms/step, gptq ExLlamaV2, its own engine")
    (awq,) = checks([ours], quantity="ms/step, awq AutoAWQ+Marlin")
    assert engine.verdict == awq.verdict == "not measured"


@pytest.mark.medium
def test_the_engine_of_exllamav2_has_a_row_of_its_own():
    ours = packed_record(runtime="exllamav2", step_ms=17.5)
    ours["gpu"] = {**ours["gpu"], **L4}
    with_cell(ours, gpu="l4")
    (kernel,) = checks([ours], quantity="ms/step, gptq ExLlamaV2")
    (engine,) = checks([ours], quantity="ms/step, gptq ExLlamaV2, its own engine")
    assert (kernel.verdict, engine.verdict) == ("not measured", "reproduces")


@pytest.mark.medium
def test_a_catalogue_of_the_users_own_need_not_have_the_papers_models_and_gpus(monkeypatch, tmp_path):
    expected = (papercheck.rows(frame_of([])), [replace(row, usd_per_mtok=None) for row in paper_rows()])
    shipped = catalogue.SHIPPED
    (tmp_path / "models.yaml").write_text("tiny:" + (shipped / "models.yaml").read_text().partition("\ntiny:")[2])
    (tmp_path / "gpus.yaml").write_text("cpu:" + (shipped / "gpus.yaml").read_text().partition("\ncpu:")[2])
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    assert "qwen2.5-7b" not in catalogue.models()
    assert "h100" not in catalogue.gpus()
    assert (papercheck.rows(frame_of([])), paper_rows()) == expected


def test_a_store_is_asked_for_all_that_an_ab_is_held_against():
    assert set(ab.NEEDED) <= set(papercheck.NEEDED)
