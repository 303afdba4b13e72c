"""The configuration that ran, against its cell, the declaration of its runtime, and its table of kernels."""

import pytest

from runner.record.verify import actual, recompute
from tests.support.edits import MANY_ROWS, all_of, drop, products, put, rows
from tests.support.fusedrecords import fused_record
from tests.support.records import example_record
from tests.support.verify import assert_named, committed_graph, engine, lines_about, lines_with_given_keys, right

# nvjet is in two rows, 100 runs may be it, too; the 5 rows and the count are rounded by 0.005 each
SHOWN_AS = rows(300.0, 13.0, names=[("x" * 100, 100.0)], others=400.0)


# what is falsified in which record, and how the line begins that names it
LIES = [
    (example_record, put("actual.attention_backend", "foo"), "actual.attention_backend: 'foo' is not one of"),
    (example_record, put("actual.kernel", "torch-cpu"), "actual.kernel: 'torch-cpu', but cell.kernel is 'cublas'"),
    (example_record, put("actual.runtime", "graph"), "actual.runtime: 'graph', but cell.runtime is 'eager'"),
    (example_record, put("actual.cache", "dynamic"), "actual.cache: 'dynamic', but cell.cache is 'static'"),
    (example_record, put("actual.graph_mode", "whole-step"), "actual.graph_mode: 'whole-step'"),
    (
        example_record,
        put("actual.kernel_names", ["memset"]),
        "actual.kernel_names: none of ['memset'] is a kernel of cublas",
    ),
]


@pytest.mark.parametrize(("make", "falsify", "line"), LIES, ids=[line for _, _, line in LIES])
def test_a_falsified_record_is_named_even_when_all_that_follows_was_derived_again(make, falsify, line):
    lines = lines_with_given_keys(right(make), falsify)
    assert any(said.startswith(line) for said in lines), lines


BROKEN = {
    "the option sdpa, and another backend": (
        lambda: example_record(cell={"options": {"sdpa": "flash"}}),
        put("actual.attention_backend", "efficient"),
        "actual.attention_backend: 'efficient', but the option sdpa is 'flash'",
    ),
    "a more telling backend, with all kernels told": (
        example_record,
        all_of(rows(200.0), put("actual.attention_backend", "cudnn"), products(200.0)),
        "actual.attention_backend: cudnn, but the table of kernels shows flash",
    ),
    "a graph that was never launched": (
        committed_graph,
        put("actual.graph_launches_per_step", 0.0),
        "actual.graph_launches",
    ),
    "a graph that was launched twice": (
        committed_graph,
        put("actual.graph_launches_per_step", 2.0),
        "actual.graph_launches",
    ),
    "an engine without a graph": (engine, put("actual.graph_launches_per_step", 0.0), "actual.graph_launches"),
    "a launch in an eager pass": (example_record, put("actual.graph_launches_per_step", 1e-3), "actual.graph_launches"),
    "another kernel in a step of one": (
        fused_record,
        all_of(
            put("kernels", lambda rows: [*rows, {"name": "fill", "count": 1.0, "us": 1.0}]),
            put("passes.busy.kernels", [2] * 30),
        ),
        "kernels: 2 a step, but a step of runtime fused is 1",
    ),
    "another copy in a step of one kernel": (
        fused_record,
        put("actual.copies_per_step", 2.0),
        "actual.copies_per_step: 2.0, but a step of fused reads its token back",
    ),
    "a step of one kernel that copies nothing": (
        fused_record,
        put("actual.copies_per_step", 0.0),
        "actual.copies_per_step: 0.0, but a step of fused reads its token back",
    ),
    "a step of one kernel without its number of copies": (
        fused_record,
        drop("actual.copies_per_step"),
        "actual.copies_per_step: <Absent.ABSENT",
    ),
    "a matrix left out": (
        example_record,
        products(195.0),
        "actual.products_per_step: 195, but the layers have at least 196",
    ),
    "fewer products than rows": (
        example_record,
        all_of(SHOWN_AS, products(312.969)),
        "actual.products_per_step: 312.969, but the table of kernels has 313 to 813",
    ),
    "more products than rows": (
        example_record,
        all_of(SHOWN_AS, products(813.031)),
        "actual.products_per_step: 813.031, but the table of kernels has 313 to 813",
    ),
    "a name one letter short of a cut one": (
        example_record,
        all_of(rows(200.0, names=[("x" * 99, 100.0)]), products(200.03)),
        "actual.products_per_step: 200.03, but the table of kernels has 200 to 200",
    ),
    "a name that no row has": (
        example_record,
        all_of(rows(200.0), products(200.0), put("actual.kernel_names", ["nvjet_0", "nvjet_9"])),
        "actual.kernel_names: 'nvjet_9' is not in the table of kernels",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_a_rule_is_named(name):
    assert_named(*BROKEN[name])


HONEST = {
    "25 rows of a longer table": (
        example_record,
        all_of(
            rows(200.0, 1.0, **MANY_ROWS),
            products(999.0),
            put("actual.kernel_names", ["nvjet_9"]),
            put("passes.busy.kernels", [900] * 30),
        ),
    ),
    "a name whose row may be among the others": (example_record, put("actual.kernel_names", ["memset", "nvjet_9"])),
    "a more telling backend among the others": (example_record, put("actual.attention_backend", "cudnn")),
    "as many products as matrices": (example_record, products(196.0)),
    "as few products as the rows": (example_record, all_of(SHOWN_AS, products(312.971))),
    "as many products as the rows": (example_record, all_of(SHOWN_AS, products(813.029))),
    "an engine that launches few graphs": (engine, put("actual.graph_launches_per_step", 5e-4)),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_session_is_right(name):
    make, edit = HONEST[name]
    assert lines_about(make(), edit) == []


def test_a_name_that_the_worker_cut_may_have_borne_a_signature():
    from runner.worker import profiling

    assert profiling.NAME_LENGTH >= actual.CUT_NAME_LENGTH
    found = example_record()
    found["actual"]["kernel_names"] = ["x" * profiling.NAME_LENGTH]
    assert recompute.differences(found) == []
