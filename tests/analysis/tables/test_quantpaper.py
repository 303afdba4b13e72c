"""The paper's quantised decode as rows."""

import pytest

from analysis.tables import quant
from analysis.tables._quantpaper import paper_rows


def test_the_papers_rows_stand_beside_ours():
    rows = paper_rows()
    assert [(row.quant, row.step_wall_ms) for row in rows] == [
        ("bf16", 62.32),
        ("bnb-nf4", 59.36),
        ("awq", 45.24),
        ("gptq", 17.36),
    ]
    # 62.32 / 17.36 = 3.59; an L4's floor for 14.258 GB is 14.258 / 0.3 = 47.5 ms
    assert rows[-1].realised == pytest.approx(3.59, abs=0.005)
    assert rows[0].floor_ms == pytest.approx(47.5, abs=0.05)
    assert all(row.valid and row.source == "paper" for row in rows)


def test_a_cell_of_the_paper_has_one_r_floor():
    """Its own, 0.810 (in streamed bytes 0.752, in the paper check), is of another step than the 62.32 ms beside it."""
    rows = paper_rows()
    assert [row.r_floor is None for row in rows] == [True, False, False, False]
    text = quant.TABLE.markdown(rows)
    # 15.349 GB at 300 GB/s are 51.16 ms
    said = "The paper's R_floor of l4 qwen2.5-7b 2048, 0.810 for 15.35 GB, implies a step of 63.16 ms; the unquantised"
    assert f"- {said} step beside its quantised ones takes 62.32 ms" in text
