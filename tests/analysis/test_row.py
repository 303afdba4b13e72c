"""Rows: their anchors, their values by key, and the order of their JSON."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from analysis.row import CellRow, Row, ab_anchor, group_anchor


@dataclass(frozen=True)
class Toy(CellRow):
    cell_key: str
    protocol: str
    code_key: str | None
    env_key: str | None
    status: str
    valid: bool
    ms: float

    @property
    def dog_ms(self) -> float:
        return 7 * self.ms


ROW = Toy(
    *("h200", "qwen2.5-7b", 2048, "bf16", "cublas", "eager", "static", "bf16"),
    *("c" * 12, "paper-5-30", "d" * 12, "e" * 12, "measured", True, 36.0),
)


def test_a_row_leads_to_its_group_whatever_else_it_shows() -> None:
    assert ROW.anchor == group_anchor(("c" * 12, "paper-5-30", "d" * 12, "e" * 12, "measured", True))
    assert replace(ROW, ms=1.0, model="another").anchor == ROW.anchor
    others = [
        replace(ROW, cell_key="0" * 12),
        replace(ROW, protocol="tail-5-300"),
        replace(ROW, code_key=None),
        replace(ROW, code_key="None"),
        replace(ROW, env_key="0" * 12),
        replace(ROW, valid=False),
    ]
    assert len({row.anchor for row in (ROW, *others)}) == 1 + len(others)


def test_other_rows_lead_nowhere_and_an_ab_to_itself() -> None:
    assert Row().anchor is None
    assert ab_anchor("0123") == "ab-0123"


def test_a_value_is_a_field_or_a_property_and_nothing_else() -> None:
    assert (ROW.value("ms"), ROW.value("dog_ms")) == (36.0, 252.0)
    with pytest.raises(AttributeError):
        ROW.value("cat_ms")


def test_the_keys_of_its_json_are_its_fields_in_their_order() -> None:
    cell = ["gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "dtype"]
    assert list(ROW.to_json()) == [*cell, "cell_key", "protocol", "code_key", "env_key", "status", "valid", "ms"]
    assert ROW.to_json()["ctx"] == 2048
