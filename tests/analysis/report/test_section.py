"""Sections of the page and its glossary follow from what tables declare."""

from __future__ import annotations

from collections import Counter

from analysis import registry
from analysis.report import section
from analysis.report.contents import Contents


def test_a_section_has_what_its_table_declares(kinds: Contents) -> None:
    found = {made.anchor: made for made in section.sections(kinds.rows)}
    assert list(found) == [table.name for table in registry.tables()]
    floor = found["floor"]
    assert (floor.above, floor.below) == (("floor-steps", "floor-bandwidth", "floor-context"), ("latency",))
    assert [made.name for made in floor.grids] == ["table-floor", "table-ranges"]
    assert found["paper"].heading == "Comparison with the paper"
    assert found["quant"].sentences == tuple(registry.table("quant").statements(kinds.rows["quant"]))


def test_a_table_without_rows_has_a_grid_only_where_it_says_what_is_missing(kinds: Contents) -> None:
    empty = {name: [] for name in kinds.rows}
    found = {made.anchor: [grid.name for grid in made.grids] for made in section.sections(empty)}
    assert found["graphs"] == ["table-graphs"]
    assert found["quant"] == []


def test_the_glossary_has_each_meaning_once_with_its_unit() -> None:
    words = [word for group in section.glossary() for word in group.columns]
    assert max(Counter(words).values()) == 1
    meanings = {word.title: word.meaning for word in words}
    assert meanings["floor ms"].endswith("divided by the datasheet bandwidth [ms]")
    assert "[1]" not in "".join(meanings.values())  # a ratio has no unit


def test_a_filter_offers_the_values_of_all_tables_unless_there_is_only_one(kinds: Contents) -> None:
    found = section.filter_boxes(section.sections(kinds.rows))
    assert list(found) == ["gpu", "model", "quant", "runtime"]
    assert {"awq", "bf16", "bnb-nf4", "gptq"} == {*found["quant"]}  # awq is the paper's
    assert found["gpu"] == sorted(found["gpu"])
    alone = {name: [row for row in rows if getattr(row, "gpu", "") == "cpu"] for name, rows in kinds.rows.items()}
    assert section.filter_boxes(section.sections(alone)) == {}
