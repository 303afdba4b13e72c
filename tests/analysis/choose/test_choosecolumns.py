"""The columns for some rows, and the names of configurations."""

from __future__ import annotations

from dataclasses import replace

from analysis.choose import choosecolumns
from tests.support.candidates import CONFIGURATION, measured, published, row_of, tail_of

ROW = row_of(measured(tail_of()))


def titles(*rows, prefill: bool = True) -> list[str]:
    return [column.title for column in choosecolumns.columns(rows, prefill)]


def test_chunks_have_a_column_if_the_deadline_is_for_several_tokens() -> None:
    assert "chunk ms (p99 ≤)" not in titles(ROW)
    assert "chunk ms (p99 ≤)" in titles(row_of(measured(tail_of(tokens=8)), tokens=8, deadline_ms=400.0))


def test_the_first_token_has_a_column_on_request() -> None:
    assert "first token ms" in titles(ROW)
    assert "first token ms" not in titles(ROW, prefill=False)


def test_fields_that_tell_rows_apart_are_columns_and_in_names() -> None:
    other = replace(ROW, dtype="fp16")
    assert titles(ROW)[:4] == ["gpu", "quant", "kernel", "runtime"]
    assert titles(ROW, other)[4] == "dtype"
    fused = row_of(replace(published(1.0), configuration=replace(CONFIGURATION, kernel="fused", runtime="fused")))
    assert choosecolumns.names([ROW, other, fused]) == ["bf16 cublas graph", "bf16 cublas graph fp16", "bf16 fused"]
