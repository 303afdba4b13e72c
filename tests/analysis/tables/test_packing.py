"""The packing of quantised weights, and how it deviates from the format's first choice."""

import pytest

from analysis.tables import _packing
from runner import registry
from tests.support.quants import by_quant, fp16_baseline, rows_of
from tests.support.records import packed_record


@pytest.mark.medium
def test_what_the_runtime_was_asked_for_is_told():
    ours = packed_record()
    ours["cell"]["options"] = {"sdpa": "math", "sym": "true"}
    table = by_quant(rows_of([ours, fp16_baseline()]))
    assert table["gptq", "fp16"].marks == ["sdpa:math"]


def test_options_that_a_format_packs_by_are_no_options_of_the_runtime():
    assert _packing.runtime_options("gptq", "sdpa:flash,sym:false") == ["sdpa:flash"]
    assert _packing.runtime_options("bnb-nf4", "double-quant:on,sdpa:math,sym:true") == ["sdpa:math", "sym:true"]
    assert _packing.runtime_options("bf16", "sdpa:flash") == ["sdpa:flash"]
    assert _packing.runtime_options("gptq", "") == []


def test_the_first_scheme_of_a_format_is_no_deviation_and_every_other_part_is():
    usual = registry.default_scheme("gptq").to_json()
    first = ",".join(f"{name}:{value}" for name, value in usual.items())
    assert _packing.other_packing("gptq", first) == []
    assert _packing.other_packing("gptq", first.replace("group_size:128", "group_size:32")) == ["group_size:32"]
    assert _packing.other_packing("gptq", "") == []
