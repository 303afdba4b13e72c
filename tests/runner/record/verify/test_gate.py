"""The gate's section of a record: its bounds, and every check that cell and protocol require."""

import pytest

from runner.record import gaterules
from runner.record.verify import recompute
from tests.support.derive import derive, judge
from tests.support.edits import all_of, drop, put, shorten
from tests.support.records import QWEN_7B, example_record, of_gate_version_1
from tests.support.verify import (
    assert_named,
    awq,
    committed,
    committed_graph,
    dynamic,
    gptq,
    lines_about,
    lines_with_given_keys,
    older,
    on_cpu,
    right,
    tail,
    tail_long,
)

NOT_FINITE = {"tensor": "lm_head.weight", "value": "NaN", "how": "stored"}


def only_checks(*names):
    return put("gate.checks", lambda checks: [check for check in checks if check["name"] in names])


def change_check(which, **series):
    def falsify(found):
        (check,) = [check for check in found["gate"]["checks"] if check["name"] == which]
        check |= {field: change(check[field]) for field, change in series.items()}

    return falsify


def shift(values):
    return [value + 1 for value in values]


def tokens(*starts):
    """Chosen, regrets, repeats of the first steps of each pass."""

    def edit(found):
        for each, start in zip(found["gate"]["tokens"], starts, strict=False):
            for series, values in zip(("chosen", "regrets", "repeats"), start, strict=True):
                each[series][: len(values)] = values

    return edit


def not_finite(found):
    """Every logit of the session, and the weight that is to blame."""
    for check in found["gate"]["checks"]:
        check["errors"] = check["trusted"] = [gaterules.NOT_FINITE] * len(check["errors"])
    found["gate"]["timed_trusted"] = [gaterules.NOT_FINITE] * 30
    found["gate"]["not_finite"] = dict(NOT_FINITE)


def likeness(series, step, value):
    return put(f"gate.eager.0.{series}.{step}", value)


def without_also(tokens):
    return {name: value for name, value in tokens.items() if name != "also"}


def without(name):
    return lambda each: [one for one in each if one["name"] != name]


# what is falsified in which record, and how the line begins that names it
LIES = [
    (dynamic, only_checks("short"), "gate.checks: ctx is missing"),
    (dynamic, only_checks("short"), "gate.checks: wall is missing"),
    (dynamic, only_checks("ctx", "wall", "revisit", "span", "rate", "busy"), "gate.checks: short is missing"),
    (on_cpu, only_checks("short", "ctx", "wall"), "gate.checks: revisit is missing"),
    (example_record, put("gate.checks", lambda checks: [*checks, checks[0]]), "gate.checks: 'short' is a duplicate"),
    (
        example_record,
        change_check("rate", name=lambda _: "rated"),
        "gate.checks: 'rated' is a duplicate, or no check",
    ),
    (example_record, change_check("short", positions=shift), "gate.checks short: positions [18, 19,"),
    (example_record, change_check("ctx", positions=shift), "gate.checks ctx: positions [2049, 2050,"),
    (
        example_record,
        change_check("ctx", positions=shorten, errors=shorten, trusted=shorten),
        "gate.checks ctx: positions [2048, 2049,",
    ),
    # the last of 5 warm-up and 30 timed steps from 2048 is at 2048 + 5 + 30 - 1 = 2082
    (
        example_record,
        change_check("wall", positions=lambda _: [2081]),
        "gate.checks wall: positions [2081], expected [2082]",
    ),
    (
        example_record,
        change_check("busy", positions=lambda _: [2048]),
        "gate.checks busy: positions [2048], expected [2082]",
    ),
    (example_record, change_check("short", errors=shorten), "gate.checks short: 31 errors for 32 positions"),
    (example_record, change_check("ctx", trusted=shorten), "gate.checks ctx: 31 trusted for 32 positions"),
    (committed, change_check("rate", trusted=lambda _: [0.09]), "gate.checks rate: trusted 0.09 at 16418"),
    (example_record, put("gate.cap", 0.2), "gate.cap: 0.2 stored, 0.1 is committed"),
    (example_record, put("gate.cap", 0.05), "gate.cap: 0.05 stored, 0.1 is committed"),
    (older, put("gate.noise", 0.1), "gate.noise: 0.1 stored, 0.01 is committed"),
    (older, put("gate.cap", 0.2), "gate.cap: 0.2 stored, 0.1 is committed"),
    *(
        (example_record, put(f"gate.{name}", lambda value: value * 1.5), f"gate.{name}: ")
        for name in ("stated_ratio", "stated_spread", "dtype_ratio", "dtype_spread", "regret_limit")
    ),
    (example_record, put("gate.checkpoint_spread", 0.75), "gate.checkpoint_spread: 0.75 stored, 0.0 is committed"),
    (
        older,
        put("limits.disturbed_share", 0.25),
        "gate.gate_version: missing, but the other sections are of a later version",
    ),
    (example_record, put("gate.tokens.0.chosen", [5] * 30), "gate.tokens wall: token 5 at step 1 has the regrets"),
    (
        example_record,
        put("gate.tokens.0.chosen.0", -7),
        "gate.tokens wall: token -7 is not in the vocabulary of 152064",
    ),
    (example_record, put("gate.tokens.1.chosen", [9] * 30), "gate.tokens span: token 9 at step 1 has the regrets"),
    (example_record, put("gate.tokens.1.chosen.0", 9), "gate.tokens: 2 tokens are the best at step 0"),
    (example_record, put("gate.timed_trusted", shorten), "gate.timed_trusted: 29 errors"),
    (example_record, put("gate.tokens.0.regrets", shorten), "gate.tokens wall: 29 regrets"),
    (example_record, put("gate.tokens.0.repeats", shorten), "gate.tokens wall: 29 repeats"),
    (example_record, put("gate.tokens.0.chosen", shorten), "gate.tokens wall: 29 chosen"),
    (example_record, put("gate.tokens", shorten), "gate.tokens: of "),
    (example_record, put("gate.rows", shorten), "gate.rows: of "),
    (tail, put("gate.timed_trusted", shorten), "gate.timed_trusted: 299 errors, the protocol says 300 steps"),
    (tail, put("gate.tokens.0.chosen", shorten), "gate.tokens wall: 299 chosen, the protocol says 300"),
    (tail, put("gate.tokens.1.chosen", shorten), "gate.tokens span: 29 chosen, the protocol says 30"),
    # the last of 5 warm-up and 300 timed steps is at 2048 + 5 + 300 - 1 = 2352, of 30 steps at 2082
    (tail, change_check("wall", positions=lambda _: [2082]), "gate.checks wall: positions [2082], expected [2352]"),
    (tail, change_check("span", positions=lambda _: [2352]), "gate.checks span: positions [2352], expected [2082]"),
    (tail_long, put("gate.checks", without("wall window 4")), "gate.checks: wall window 4 is missing"),
    (tail_long, put("gate.rows", without("wall window 4")), "gate.rows: of the passes wall window 1, wall window 2,"),
    (tail_long, put("gate.tokens.0.also", shorten), "gate.tokens: of the passes wall window 1, wall window 2,"),
    (tail_long, put("gate.tokens.0", without_also), "gate.tokens: of the passes wall window 1, span, busy, expected"),
    (
        tail_long,
        put("gate.tokens", lambda each: [{**each[0], "also": [*each[0]["also"], "span"]}, each[2]]),
        "gate.tokens wall window 1.also: ",
    ),
    (
        tail_long,
        change_check("wall window 10", positions=lambda _: [2351]),
        "gate.checks wall window 10: positions [2351], expected [2352]",
    ),
    (committed, put("gate.cap", 0.101), "gate.cap: 0.101 stored, 0.1 is committed"),
    (lambda: of_gate_version_1(gptq()), put("gate.noise", 0.029), "gate.noise: 0.029 stored, 0.03 is committed"),
    (lambda: of_gate_version_1(awq()), put("gate.noise", 0.03), "gate.noise: 0.03 stored, 0.002 is committed"),
]


@pytest.mark.parametrize(("make", "falsify", "line"), LIES, ids=[line for _, _, line in LIES])
def test_a_falsified_record_is_named_even_when_all_that_follows_was_derived_again(make, falsify, line):
    lines = lines_with_given_keys(right(make), falsify)
    assert any(said.startswith(line) for said in lines), lines


BROKEN = {
    "a token beyond the vocabulary": (
        example_record,
        put("gate.tokens.0.chosen.0", QWEN_7B["vocab"]),
        "gate.tokens wall: token 152064 is not in the vocabulary of 152064",
    ),
    "a token with two regrets, one of them repeated": (
        example_record,
        tokens(([5], [0.0], [0.0, 3.0]), ([7, 5], [0.5, 2.0], [0.0])),
        "gate.tokens span: token 5 at step 1 has the regrets 3.0 and 2.0",
    ),
    "a weight that is not finite over finite logits": (
        example_record,
        put("gate.not_finite", NOT_FINITE),
        "gate.not_finite: present, but every logit error is finite",
    ),
    "a weight that is named in part": (
        example_record,
        all_of(not_finite, put("gate.not_finite.how", None)),
        "gate.not_finite: {",
    ),
    "no likeness to eager": (committed_graph, drop("gate.eager"), "gate.eager: []"),
    "half of the likeness to eager": (
        committed_graph,
        put("gate.eager", lambda each: each[:1]),
        "gate.eager: ['short']",
    ),
    "a likeness at other positions": (
        committed_graph,
        put("gate.eager.1.positions", lambda positions: [position + 1 for position in positions]),
        "gate.eager ctx: positions [2049, 2050,",
    ),
    **{
        f"a likeness with fewer {series}": (
            committed_graph,
            put(f"gate.eager.0.{series}", lambda values: values[:-1]),
            f"gate.eager short.{series}: 31 for 32 positions",
        )
        for series in ("equal", "differences", "same_token")
    },
    "equal, and different": (
        committed_graph,
        all_of(likeness("equal", 3, True), likeness("differences", 3, 1e-3)),
        "gate.eager short: equal, but the difference is 0.001",
    ),
    "equal, with another token": (
        committed_graph,
        all_of(likeness("equal", 3, True), likeness("differences", 3, 0.0), likeness("same_token", 3, False)),
        "gate.eager short: equal, but the difference is 0.0 or the token differs",
    ),
    "held bytes in version 1 of the gate": (
        older,
        put("memory.held_bytes", example_record()["memory"]["held_bytes"]),
        "gate.gate_version: missing",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_a_rule_is_named(name):
    assert_named(*BROKEN[name])


HONEST = {
    "a context of one token": (lambda: example_record(cell={"ctx": 1}), lambda _: None),
    "the vocabulary's first and last token": (
        example_record,
        tokens(*[([0, 152_063], [0.0, 0.0], [4.5, 5.0])] * 3),
    ),
    "a token that another pass chose one step later": (
        example_record,
        tokens(([5], [0.0], [4.5, 2.0]), ([5, 5], [0.0, 2.0], [4.5, 2.0]), ([5], [0.0], [4.5, 2.0])),
    ),
    "a token of a session whose logits are not finite": (
        example_record,
        all_of(
            not_finite,
            *(
                put(f"gate.tokens.{each}.{series}", [value] * 30)
                for each in range(3)
                for series, value in (
                    ("chosen", -1),
                    ("regrets", gaterules.NOT_FINITE),
                    ("repeats", gaterules.NOT_FINITE),
                )
            ),
        ),
    ),
    "a not finite error of trusted eager alone": (
        example_record,
        all_of(not_finite, put("gate.checks.0.errors", [0.01] * 32)),
    ),
    "logits other than eager's": (
        committed_graph,
        all_of(likeness("equal", 3, False), likeness("differences", 3, 1e-3), likeness("same_token", 3, False)),
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_session_is_right(name):
    make, edit = HONEST[name]
    assert lines_about(make(), edit) == []


@pytest.mark.medium
def test_older_code_held_a_coarse_kernel_to_the_noise_of_its_dtype():
    found = of_gate_version_1(gptq())
    assert found["gate"]["noise"] == 0.03
    found["gate"]["noise"] = 0.002
    found["keys"]["code_key"] = "b89977194ec4"
    derive(found)
    judge(found)
    assert recompute.differences(found) == []
