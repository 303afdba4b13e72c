"""Contrasts of two steps, and everything else in which they differ."""

from dataclasses import replace

import pytest

from analysis.tables import _causes, _contrasts
from analysis.tables._contrasts import Step
from analysis.tables._trace import Traces
from tests.analysis.tables.test_causes import EAGER, graph


def rows(*groups):
    traces = Traces({group.key: {group.cell_key: "host"} for group in groups})
    return _contrasts.contrasts([Step(group, _causes.split(group, traces)) for group in groups])


def test_rows_that_differ_in_one_field_are_a_contrast():
    (found,) = rows(EAGER, graph(9.7, kernels_per_step=1487.0))
    assert (found.field, found.first, found.second, found.part) == ("runtime", "eager", "graph", "launches")
    assert (found.step_ms, found.kernels_ms, found.kernels_per_step) == (pytest.approx(-16.3), 0.0, 1.0)
    assert found.outside_ms == pytest.approx(-16.3)
    assert (found.decided, found.sessions) == ("yes", 3)


@pytest.mark.parametrize(
    ("fields", "field", "part"),
    [
        ({"gpu": "h200"}, "gpu", "card, and its host"),
        ({"cache": "dynamic"}, "cache", "software"),
        ({"options": "sdpa:flash"}, "options", "software"),
    ],
)
def test_each_field_has_the_part_that_it_changes(fields, field, part):
    (found,) = rows(EAGER, replace(EAGER, **fields))
    assert (found.field, found.part, found.decided) == (field, part, "undecided")


def test_two_fields_another_model_or_another_context_are_no_contrast():
    assert rows(EAGER, replace(EAGER, gpu="h200", cache="dynamic")) == []
    assert rows(EAGER, replace(EAGER, model="mistral-7b")) == []
    assert rows(EAGER, replace(EAGER, ctx=4096)) == []


def test_few_sessions_decide_no_contrast_and_an_unmeasured_clock_has_no_change():
    (found,) = rows(EAGER, graph(9.7, sessions=2, step_busy_ms=None))
    assert (found.decided, found.kernels_ms, found.outside_ms) == ("undecided", None, None)


@pytest.mark.parametrize(
    ("fields", "also"),
    [
        ({"hosts": ["1" * 12]}, ", or the host"),
        ({"hosts": ["1" * 12, *EAGER.hosts]}, ""),
        ({"env_key": "1" * 12}, ", or versions"),
        ({"code_key": "1" * 12}, ", or our code"),
        ({"attention_backend": "flash"}, ", or attention"),
        ({"hosts": ["1" * 12], "env_key": "1" * 12, "code_key": "1" * 12}, ", or the host, versions or our code"),
    ],
)
def test_what_else_differs_is_named_since_it_may_change_the_step_as_well(fields, also):
    (found,) = rows(EAGER, replace(EAGER, cache="dynamic", **fields))
    assert found.part == f"software{also}"


def test_cards_have_other_hosts_runtimes_other_code_and_an_option_may_choose_the_attention():
    (found,) = rows(EAGER, replace(EAGER, gpu="h200", hosts=["1" * 12]))
    assert found.part == "card, and its host"
    (found,) = rows(EAGER, graph(9.7, code_key="1" * 12))
    assert found.part == "launches"
    (found,) = rows(EAGER, replace(EAGER, options="sdpa:flash", attention_backend="flash"))
    assert (found.part, found.attention) == ("software", "cudnn → flash")


def test_a_contrast_leads_to_the_sessions_of_both_rows():
    (found,) = rows(EAGER, replace(EAGER, cell_key="1" * 12, cache="dynamic"))
    assert [*found.origins.values()] == [["0" * 12], ["1" * 12]]
    assert found.anchor.startswith("rows-")
