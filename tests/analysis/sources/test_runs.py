"""Frames made from whole runs."""

import polars
import pytest

from analysis.sources import runs
from analysis.sources.client import ClientStore
from analysis.sources.columns import BACKEND, PARAM, TAG, Text
from analysis.sources.runs import Run
from analysis.sources.store import Store
from tests.support.frames import frame_of
from tests.support.hostconditions import conditioned
from tests.support.records import example_record, failed_record
from tests.support.sources import left_out_of_all_tables, texts


@pytest.mark.medium
def test_a_run_of_before_there_was_the_tag_is_of_the_first_schema(changeable):
    uri, connection = changeable
    before = texts(Store(uri))
    connection.execute("DELETE FROM tags WHERE key = 'schema_version'")
    connection.commit()
    assert left_out_of_all_tables(Store(uri)) == left_out_of_all_tables(ClientStore(uri)) == ()
    assert texts(Store(uri)) == before


def test_a_run_has_the_word_of_a_tag_or_param_and_none_that_is_known():
    run = Run("r", 1, 2, {"gpu": "of params"}, {}, {"gpu": "of tags", "quant": "fp8"})
    assert (run.text(Text("gpu", TAG, "gpu")), run.text(Text("gpu", PARAM, "gpu"))) == ("of tags", "of params")
    assert run.text(Text("study", TAG, "study", "adhoc")) == "adhoc"
    assert run.text(Text("unknown", TAG, "quant", known=("bf16", "gptq"))) == "fp8"
    assert run.text(Text("unknown", TAG, "quant", known=("bf16", "fp8"))) is None


def test_a_cell_has_a_number_of_tokens_and_its_packing_in_one_word():
    words = {"gpu": "h200", "ctx": "2048", "options": "none", "group_size": "128", "sym": "True"}
    words |= {"desc_act": None, "double_quant": None}
    assert runs.cell(words) == {"gpu": "h200", "ctx": 2048, "options": "", "scheme": "group_size:128,sym:True"}
    assert runs.cell({**words, "options": "sdpa:flash"})["options"] == "sdpa:flash"
    assert runs.cell({**words, "options": None})["options"] == ""


@pytest.mark.medium
def test_each_session_has_the_backend_of_attention_of_its_software():
    usual, flash = example_record(), example_record(cell={"ctx": 4096})
    flash["actual"]["attention_backend"] = "flash"
    frame = frame_of([usual, flash, failed_record("oom"), conditioned("busy:8")])
    by_ctx = {frame.cells[key]["ctx"]: word for key, word in frame.sessions.select("cell_key", BACKEND).iter_rows()}
    assert by_ctx[4096] == "flash"
    assert {*frame.conditioned[BACKEND]} == {usual["actual"]["attention_backend"]}


@pytest.mark.medium
def test_sessions_under_a_condition_have_what_they_observed_and_their_cell_even_if_no_other_session_has_it():
    frame = frame_of([conditioned("busy:8", example_record(cell={"ctx": 4096})), example_record()])
    (row,) = frame.conditioned.iter_rows(named=True)
    assert (row["neighbours"], row["neighbour_cores"], row["cores"]) == (8.0, 8.0, row["allowed_cores"])
    assert frame.cells[row["cell_key"]]["ctx"] == 4096
    assert len(frame.every) == 2


def derived(**columns):
    """Derived columns of three sessions, the last of which began first."""
    usual = {
        "protocol_name": ["paper"] * 3,
        "warmup": [None, None, "2"],
        "steps": [None, None, "60"],
        "windows": [None, None, "1"],
        "valid": ["true"] * 3,
        "flags": [""] * 3,
        "gate_version": ["2"] * 3,
        "status": ["measured"] * 3,
        "started_ms": [2, 3, 1],
    }
    return runs.with_derived_columns(polars.DataFrame({**usual, **columns}))


def test_rows_are_in_the_order_of_time_and_a_custom_protocol_has_its_own_counts():
    found = derived(protocol_name=["paper", "tail", "custom"], valid=["true", "false", "true"])
    assert found["protocol"].to_list() == ["custom-2-60", "paper-5-30", "tail-5-300"]
    assert found["valid"].to_list() == [True, True, False]
    windows = derived(protocol_name=["paper", "tail-long", "custom"], windows=[None, None, "4"])
    assert windows["protocol"].to_list() == ["custom-2-4x60", "paper-5-30", "tail-long-5-10x300"]


def test_a_quotient_is_derived_where_both_parts_were_read():
    # 3 / 6 and 1 / 4; without a floor none
    found = derived(floor_ms=[3.0, None, 1.0], step_wall_ms=[6.0, 5.0, 4.0])
    assert found["r_floor"].to_list() == [0.25, 0.5, None]
    assert "r_floor" not in derived(step_wall_ms=[6.0, 5.0, 4.0]).columns


def test_measured_sessions_of_the_first_gate_are_flagged_beside_their_own_flags():
    found = derived(gate_version=["1", "1", "2"], flags=["", "throttled", "throttled"])
    assert found["flags"].to_list() == ["throttled", "gate-1", "throttled,gate-1"]
    assert derived(gate_version=["1"] * 3, status=["oom"] * 3)["flags"].to_list() == [""] * 3
