"""Short names: what tells a row from others of the same base, and no more."""

from dataclasses import replace

import pytest

from analysis.figures import labels


@pytest.fixture
def row(floor_rows):
    return next(row for row in floor_rows if (row.quant, row.runtime) == ("bf16", "graph"))


def test_unquantised_weights_are_named_by_their_dtype_and_packed_ones_by_format_and_kernel(row):
    assert labels.configuration(row) == "bf16, graph"
    assert labels.configuration(replace(row, dtype="fp16")) == "fp16, graph"
    assert labels.configuration(replace(row, quant="awq", kernel="marlin")) == "awq marlin, graph"


def test_only_rows_of_the_same_base_have_more_fields(row):
    eager = replace(row, runtime="eager")
    rows = [row, eager, replace(eager, cache="dynamic"), replace(eager, cache="dynamic", options="sdpa:flash")]
    assert labels.names(rows, labels.configuration) == [
        "bf16, graph",
        "bf16, eager static",
        "bf16, eager dynamic",
        "bf16, eager dynamic sdpa:flash",
    ]


def test_what_the_figure_shows_elsewhere_is_not_told_again(row):
    rows = [row, replace(row, ctx=4096, code_key="other")]
    assert labels.names(rows, labels.configuration, ("ctx",)) == ["bf16, graph"] * 2
    assert labels.names(rows, labels.configuration) == [f"bf16, graph {row.code_key}", "bf16, graph other"]
