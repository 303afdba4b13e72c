"""Rows of the quantisation table: their names, marks and savings as text."""

from dataclasses import replace

import pytest

from analysis.tables import _quantrows
from analysis.tables._quantpaper import paper_rows
from tests.support.quants import by_quant, fp16_baseline, rows_of
from tests.support.records import packed_record


@pytest.mark.medium
def test_another_packing_and_a_checkpoint_are_told():
    ours = packed_record()
    ours["cell"]["weights_id"] = "content-0123456789abcdef"
    ours["model"]["scheme"] |= {"desc_act": True, "sym": False}
    (row,) = by_quant(rows_of([ours])).values()
    assert row.marks == ["sym:False", "desc_act:True", "content-0123456789abcdef"]
    (row,) = by_quant(rows_of([packed_record()])).values()
    assert row.marks == []


def test_a_saving_has_its_ends_and_from_five_sessions_on_what_they_cover():
    def words(*ends):
        return _quantrows._saving_words(2.0, *ends)

    assert words(1.5, 2.5, "ci95", "93.75 %") == "2.00 [1.50–2.50] (93.75 %)"
    assert words(1.5, 2.5, "range", "range") == "2.00 [1.50–2.50]"
    assert words(2.0, 2.0, "none", None) == "2.00"
    assert _quantrows._saving_words(None, None, None, None, None) is None


@pytest.mark.medium
def test_a_row_is_named_by_its_cell_and_marked_by_its_flags_first():
    table = by_quant(rows_of([packed_record(), fp16_baseline()]))
    row = replace(table["gptq", "fp16"], flags=["throttled"], options="sdpa:flash,sym:true", weights_id="content-0123")
    assert row.title == "h200 qwen2.5-7b 2048 gptq exllamav2 eager static fp16 sdpa:flash,sym:true"
    assert row.marks == ["throttled", "sdpa:flash", "content-0123"]


def test_the_papers_row_has_no_value_where_the_paper_states_none():
    row = paper_rows()[-1]
    assert (row.value("cache"), row.value("logit_error")) == (None, None)
    assert row.title == "The paper, l4 qwen2.5-7b 2048 gptq ExLlamaV2"
    assert row.realised_words == "3.59"  # 62.32 / 17.36
