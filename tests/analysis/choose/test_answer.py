"""Answers from sources with and without sessions."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.choose import answer
from analysis.choose.candidate import MEASURED
from analysis.choose.limits import Limits
from runner.errors import BadValue, UnknownName
from tests.support.records import example_record
from tests.support.reports import write_records
from tests.support.tailrecords import three_sessions

OPTIONS = {
    "deadline_ms": "50",
    "tokens": "1",
    "miss": "auto",
    "usd_per_mtok": "auto",
    "joules_per_token": "auto",
    "model": "auto",
    "ctx": "auto",
    "gpu": "auto",
    "price": (),
}


def answered(records: Path, **options: object) -> answer.Answer:
    return answer.answer(None, records, answer.asked(**{**OPTIONS, **options}))


def test_prices_may_be_repeated_or_have_commas_between_them() -> None:
    both = {"l4": 0.35, "h100": 2.0}
    assert answer.asked(**{**OPTIONS, "price": ("l4=0.35", "h100=2")}).prices == both
    assert answer.asked(**{**OPTIONS, "price": ("l4=0.35,h100=2",)}).prices == both
    assert answer.asked(**{**OPTIONS, "price": ("auto",)}) == answer.Asked(Limits(), {}, "auto", "auto", "auto")
    with pytest.raises(BadValue, match="has no '='"):
        answer.asked(**{**OPTIONS, "price": ("l4",)})


@pytest.mark.medium
def test_without_a_record_rows_are_published_or_predicted_and_it_says_why(tmp_path: Path) -> None:
    found = answer.answer(f"sqlite:///{tmp_path}/mlflow.db", None, answer.asked(**OPTIONS))
    assert found.reading is None
    assert found.rows
    assert MEASURED not in {row.basis for row in found.rows}
    assert found.notes[0].startswith("nothing was measured: there is no MLflow store ")


@pytest.mark.medium
def test_a_folder_without_records_is_no_record_and_a_missing_one_an_error(tmp_path: Path) -> None:
    found = answered(tmp_path)
    assert found.notes[0].startswith(f"nothing was measured: {tmp_path}: no records (*.json) there")
    with pytest.raises(BadValue, match="no such folder of records"):
        answered(tmp_path / "none")


@pytest.mark.medium
def test_a_named_gpu_without_a_row_is_mentioned(tmp_path: Path) -> None:
    found = answered(tmp_path, gpu="l4,cpu")
    assert {row.gpu for row in found.rows} == {"l4"}
    assert found.notes[-1].startswith("no row for cpu: ")


@pytest.mark.medium
def test_a_filter_that_leaves_nothing_says_what_there_is(tmp_path: Path) -> None:
    records, empty = write_records(tmp_path / "records", three_sessions()), tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadValue) as caught:
        answered(records, gpu="cpu", ctx="4096")
    assert str(caught.value) == (
        "qwen2.5-7b at ctx 4096 was neither measured nor published on cpu, and nothing predicts it: recorded are gpu "
        "h200; model qwen2.5-7b; ctx 2048"
    )
    with pytest.raises(BadValue, match="nothing is recorded"):
        answered(empty, gpu="cpu")
    more = [example_record(cell={"ctx": ctx}) for ctx in (16384, 512)]
    with pytest.raises(BadValue, match=r"published on any GPU, .*; ctx 512, 2048, 16384$"):
        answered(write_records(tmp_path / "more", [*more, *three_sessions()]), model="tiny")


@pytest.mark.medium
def test_an_unknown_gpu_in_the_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown gpu 'h10'; did you mean h100"):
        answered(tmp_path, gpu="l4,h10")
