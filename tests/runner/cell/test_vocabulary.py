"""Words of the project: what a value may be made of, and what is said of a word that is not one of them."""

from __future__ import annotations

import pytest

from runner.cell import vocabulary
from runner.errors import BadValue, NotAvailable, UnknownName

WORDS = ("eager", "graph", "compile")


@pytest.mark.parametrize("value", ["qwen2.5-7b", "sdpa:flash,mode:max", "~/tune@main", "/a_b/c=1+1"])
def test_a_plain_word_stays(value: str) -> None:
    assert vocabulary.plain_token("model", value) == value


@pytest.mark.parametrize("value", ["a b", "a;b", "$HOME", "`id`", "a\n", "a'b", "modèle", "a|b", "a*"])
def test_what_a_shell_could_act_on_is_refused_with_what_is_allowed(value: str) -> None:
    with pytest.raises(BadValue) as caught:
        vocabulary.plain_token("model", value)
    assert str(caught.value).startswith(f"model={value!r}: only letters, digits and . _ : , / + @ = ~ - are allowed")


def test_an_empty_value_is_called_empty() -> None:
    with pytest.raises(BadValue, match=r"^ctx='' is empty: give it a value, or leave it out$"):
        vocabulary.plain_token("ctx", "")


def test_another_number_is_no_spelling_mistake() -> None:
    assert vocabulary.suggestion("fp8", vocabulary.DTYPES) == ""


@pytest.mark.parametrize(
    ("value", "nearest"),
    [
        ("egaer", "eager"),
        ("GRAPH", "graph"),
        ("compiled", "compile"),
        ("warp", None),
        ("", None),
        ("gr", "graph"),
    ],
)
def test_the_nearest_word_is_suggested_where_one_is_near(value: str, nearest: str | None) -> None:
    assert vocabulary.suggestion(value, WORDS) == (f"; did you mean {nearest}?" if nearest else "")


def test_a_word_that_nobody_knows_is_refused_with_those_that_there_are() -> None:
    assert vocabulary.checked_name("runtime", "graph", WORDS) == "graph"
    with pytest.raises(UnknownName) as caught:
        vocabulary.checked_name("runtime", "Graph", iter(WORDS))
    assert str(caught.value) == "unknown runtime 'Graph'; did you mean graph? (allowed: eager, graph, compile)"


def test_a_planned_word_is_not_available_and_any_other_is_unknown() -> None:
    built = ("eager", "graph")
    assert vocabulary.checked_available("runtime", "graph", ("fused",), built) == "graph"
    with pytest.raises(NotAvailable) as planned:
        vocabulary.checked_available("runtime", "fused", ("fused",), iter(built))
    assert str(planned.value) == "runtime=fused is not available in this version (available: eager, graph)"
    with pytest.raises(UnknownName, match=r"^unknown runtime 'warp' \(allowed: auto, eager, graph\)$"):
        vocabulary.checked_available("runtime", "warp", ("fused",), built)


def test_a_word_that_is_only_planned_is_not_suggested() -> None:
    with pytest.raises(UnknownName, match=r"^unknown runtime 'fuse' \(allowed: auto, eager\)$"):
        vocabulary.checked_available("runtime", "fuse", ("fused",), ("eager",))
    with pytest.raises(UnknownName, match=r"^unknown runtime 'fuse'; did you mean fused\? \(allowed: auto, fused\)$"):
        vocabulary.checked_available("runtime", "fuse", ("fused",), ("fused",))


def test_a_word_that_is_planned_and_built_is_named_once() -> None:
    with pytest.raises(UnknownName, match=r"\(allowed: auto, eager, fused\)$"):
        vocabulary.checked_available("runtime", "warp", ("fused",), ("eager", "fused"))
