"""Advice for fields that do not go together: each is followed, and leads to a cell that can be measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import pytest

from runner import registry
from runner.cell.vocabulary import AUTO
from runner.errors import BadPair
from runner.machine.nvml import InstalledGpu
from runner.plan.remedies import Unpaired, advised
from runner.plan.request import Request
from runner.plan.resolve import resolve

Cards = tuple[InstalledGpu, ...]
MakeCard = Callable[..., InstalledGpu]


def requests() -> Iterator[Request]:
    """Yields every combination of quant, kernel and runtime, alone and with one further field."""
    more = [{}, {"dtype": "fp32"}, {"cache": "dynamic"}, {"attention": "engine"}, {"stack": "paper"}]
    names = (registry.format_names(), registry.kernel_names(), registry.runtime_names())
    for (quant, kernel, runtime), rest in product(product(*((AUTO, *each) for each in names)), more):
        yield Request(quant=quant, kernel=kernel, runtime=runtime, **rest)


def refused(request: Request, cards: Cards) -> str | None:
    """Returns the message of a request whose fields do not go together."""
    try:
        resolve(request, cards)
    except BadPair as error:
        return str(error)
    return None


def advice(message: str) -> list[dict[str, str]]:
    """Returns the changes that a message advises, as a user would type them."""
    texts = re.split(r", | or ", message.rpartition(": choose ")[2])
    return [dict(pair.split("=", 1) for pair in text.split()) for text in texts]


@pytest.mark.slow
@pytest.mark.parametrize("capability", [None, "8.9", "7.5", "5.2"])
def test_every_advice_leads_to_a_cell(card: MakeCard, capability: str | None) -> None:
    cards = () if capability is None else (replace(card("NVIDIA L4"), compute_capability=capability),)
    messages = {request: message for request in requests() if (message := refused(request, cards))}
    assert len(messages) > 100
    for request, message in messages.items():
        changes = advice(message)
        assert changes, message
        for change in changes:
            resolve(replace(request, **change), cards)


def test_awq_without_a_gpu_is_told_which_quants_remain() -> None:
    """`kernel=auto` would fail, too."""
    said = "choose quant=bf16 kernel=auto or quant=bnb-nf4 kernel=auto"
    assert refused(Request(quant="awq", kernel="marlin"), ()) == (
        f"kernel=marlin needs a CUDA GPU, and this cell is on the CPU: {said}"
    )
    assert refused(Request(quant="awq"), ()) == (
        "the kernels of quant=awq (autoawq-triton, marlin) need a CUDA GPU, and this cell is on the CPU: "
        "choose quant=bf16 or quant=bnb-nf4"
    )


def _attempt(*passing: Request) -> Callable[[Request], None]:
    def attempt(request: Request) -> None:
        if request not in passing:
            raise BadPair("no")

    return attempt


def test_the_first_tier_with_a_passing_change_is_the_advice() -> None:
    error = Unpaired("x", [{"kernel": "a"}], [{"kernel": "b"}, {"kernel": "c"}, {"kernel": "d"}], [{"kernel": "e"}])
    attempt = _attempt(Request(kernel="b"), Request(kernel="d"), Request(kernel="e"))
    assert str(advised(error, [Request()], attempt)) == "x: choose kernel=b or kernel=d"


def test_otherwise_as_few_fields_as_possible_are_left_to_auto() -> None:
    request = Request(kernel="marlin", dtype="fp32", cache="static")
    attempt = _attempt(Request(dtype="fp32"), Request())
    assert str(advised(Unpaired("x"), [request], attempt)) == "x: choose kernel=auto cache=auto"


def test_a_change_that_changes_nothing_is_no_advice() -> None:
    attempt = _attempt(Request(kernel="a"), Request(kernel="b"))
    error = Unpaired("x", [{"kernel": "a"}, {"kernel": "b", "dtype": AUTO}])
    assert str(advised(error, [Request(kernel="a")], attempt)) == "x: choose kernel=b"


def test_without_any_advice_the_error_stands_alone() -> None:
    assert str(advised(Unpaired("x"), [Request()], _attempt())) == "x"


def test_the_advice_for_two_arms_holds_for_both_and_keeps_their_field() -> None:
    error = Unpaired("x", [{"quant": "a"}, {"kernel": "b"}, {"kernel": "c"}])
    requests = [Request(quant="a"), Request(quant="z")]
    of_a = (Request(quant="a"), Request(quant="a", kernel="b"), Request(quant="a", kernel="c"))
    attempt = _attempt(*of_a, Request(quant="z", kernel="c"))
    assert str(advised(error, requests, attempt, "quant")) == "x: choose kernel=c"
    assert str(advised(error, requests, _attempt(*of_a), "quant")) == "x: choose another value of quant"
