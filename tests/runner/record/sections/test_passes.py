"""The passes that a record has."""

from __future__ import annotations

from dataclasses import replace

from runner.cell.fieldtypes import ABSENT
from runner.record.sections.passes import timed_passes
from tests.support.derive import typed
from tests.support.records import cpu_record, example_record


def test_the_passes_of_a_record_are_named_in_the_order_of_its_fields() -> None:
    assert list(timed_passes(typed(example_record()).passes)) == ["wall", "span", "rate", "busy"]


def test_an_absent_pass_is_left_out() -> None:
    passes = typed(example_record()).passes
    assert list(timed_passes(replace(passes, span=ABSENT))) == ["wall", "rate", "busy"]
    on_cpu = replace(typed(cpu_record()).passes, revisit=ABSENT)
    assert timed_passes(on_cpu) == {"wall": on_cpu.wall}
