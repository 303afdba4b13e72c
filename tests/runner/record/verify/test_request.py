"""The request of a record, against the cell, the protocol and the session that followed."""

import pytest

from tests.support.edits import all_of, derived_again, put
from tests.support.records import example_record
from tests.support.verify import assert_named, engine, lines_about, lines_with_given_keys, of_checkpoint, right

TAIL_LONG = {"name": "tail-long", "steps": 300, "windows": 10}
CONTAINER = {"engine": "docker", "image": "decode-floor", "digest": "sha256:" + "0" * 64, "tree_key": ""}


def of_hub():
    found = of_checkpoint()
    all_of(put("cell.weights_id", "0123456789" * 4), put("request.weights", "hub"))(found)
    return derived_again(found)


# what is falsified in which record, and how the line begins that names it
LIES = [
    (example_record, put("request", {}), "request: without gpu, model, ctx, quant, weights"),
]


@pytest.mark.parametrize(("make", "falsify", "line"), LIES, ids=[line for _, _, line in LIES])
def test_a_falsified_record_is_named_even_when_all_that_follows_was_derived_again(make, falsify, line):
    lines = lines_with_given_keys(right(make), falsify)
    assert any(said.startswith(line) for said in lines), lines


BROKEN = {
    "another count of warm-up steps than asked": (
        example_record,
        all_of(put("request.protocol", "auto"), put("request.warmup", "7")),
        "protocol.warmup: 5, but the requested one is 7",
    ),
    "another count of steps than asked": (
        example_record,
        all_of(put("request.protocol", "auto"), put("request.steps", "29")),
        "protocol.steps: 30, but the requested one is 29",
    ),
    "another protocol than asked": (
        example_record,
        put("request.protocol", "tail"),
        "protocol.name: 'paper', but the requested one is 'tail'",
    ),
    "another number of windows than asked": (
        example_record,
        all_of(put("request.protocol", "tail-long"), put("request.steps", "30")),
        "protocol.windows: 1, but the requested one is 10",
    ),
    "another number of windows than those asked instead of the protocol's": (
        lambda: example_record(protocol={"name": "custom", "steps": 300, "windows": 20}),
        all_of(put("request.protocol", "tail-long"), put("request.windows", "12")),
        "protocol.windows: 20, but the requested one is 12",
    ),
    "the protocol's number of windows after another was asked": (
        lambda: example_record(protocol=TAIL_LONG),
        all_of(put("request.protocol", "tail-long"), put("request.windows", "20")),
        "protocol.name: 'tail-long', but the requested one is 'custom'",
    ),
    "windows that none can have": (
        example_record,
        put("request.windows", "0"),
        "request: windows=0: at least 1 window is needed",
    ),
    "a number of windows that is none": (
        example_record,
        put("request.windows", "many"),
        "request: windows=many: must be a whole number",
    ),
    "a protocol that nobody has": (
        example_record,
        put("request.protocol", "short"),
        "request: unknown protocol 'short'",
    ),
    "a seed below 0": (
        example_record,
        put("request.seed", "-1"),
        "request: seed=-1: must be at least 0",
    ),
    "another attention than asked": (example_record, put("request.attention", "engine"), "request.attention: "),
    "here, in a container": (
        lambda: example_record(container=CONTAINER),
        put("request.where", "here"),
        "request.where: here, but the record has a section container",
    ),
    "a checkpoint with an option of synthetic weights": (
        of_checkpoint,
        put("cell.options", {"sym": "true"}),
        "cell.options: 'sym:true' is not an option",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_a_rule_is_named(name):
    assert_named(*BROKEN[name])


HONEST = {
    "a seed that was never asked for": (lambda: example_record(session={"seed": 5}), lambda _: None),
    "a seed of none": (example_record, put("request.seed", "0")),
    "counts of one's own": (
        lambda: example_record(protocol={"name": "custom", "warmup": 7, "steps": 29}),
        all_of(put("request.protocol", "auto"), put("request.warmup", "7"), put("request.steps", "29")),
    ),
    "windows of one's own": (
        lambda: example_record(protocol={"name": "custom", "steps": 300, "windows": 20}),
        all_of(put("request.protocol", "tail-long"), put("request.windows", "20")),
    ),
    "windows as the protocol has them": (
        lambda: example_record(protocol=TAIL_LONG),
        all_of(put("request.protocol", "tail-long"), put("request.windows", "auto")),
    ),
    "a request from before windows could be asked for": (
        lambda: example_record(protocol=TAIL_LONG),
        put("request.protocol", "tail-long"),
    ),
    "here": (example_record, put("request.where", "here")),
    "in a container": (lambda: example_record(container=CONTAINER), put("request.where", "container")),
    "options that were asked for, with an engine's own": (engine, put("request.options", "sym:true")),
    "the flag converted": (of_checkpoint, put("given_flags", ["converted"])),
    "the flag unpinned": (of_hub, put("given_flags", ["converted", "unpinned"])),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_session_is_right(name):
    make, edit = HONEST[name]
    assert lines_about(make(), edit) == []
