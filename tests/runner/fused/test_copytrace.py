"""A trace of copies is compared with the tape copy for copy: each kind of difference is found."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from runner.fused import copytrace, geometry, plan
from runner.fused.copytrace import Addresses, Traced
from runner.fused.geometry import Geometry
from runner.fused.launch import LAYER_FIELDS
from tests.support.fusedshapes import H200, everything, of_catalogue

TOKENS = 300
TINY = geometry.choose(of_catalogue()["tiny"], H200)
Copies = list[list[Traced]]


def addresses(layout: Geometry) -> Addresses:
    """Returns addresses of tensors that lie far apart."""
    layers = [
        {name: 2**40 * layer + 2**32 * tensor for tensor, name in enumerate(LAYER_FIELDS, 1)}
        for layer in range(1, layout.shape.layers + 1)
    ]
    return Addresses(layers, 2**50, 3000)


def right(layout: Geometry) -> Copies:
    return [list(copytrace.of_block(layout, addresses(layout), block, TOKENS)) for block in range(layout.blocks)]


def changed(copies: list[Traced], n: int, **change: int) -> list[Traced]:
    return [*copies[:n], replace(copies[n], **change), *copies[n + 1 :]]


@pytest.mark.medium
@pytest.mark.parametrize("name", ["tiny", "group-7"])
def test_a_trace_like_the_tape_has_no_difference(name: str) -> None:
    layout = geometry.choose(everything()[name], H200)
    found = right(layout)
    assert [len(copies) for copies in found] == [copytrace.count(layout, b, TOKENS) for b in range(layout.blocks)]
    assert copytrace.differences(found, layout, addresses(layout), TOKENS) == []


PLANTED: dict[str, tuple[Callable[[list[Traced]], list[Traced]], list[str]]] = {
    "another address": (lambda copies: changed(copies, 3, address=16), ["copy 3: address 16 instead of "]),
    "no values": (lambda copies: changed(copies, 4, second=0), ["copy 4: second 0 instead of "]),
    "fewer bytes": (lambda copies: changed(copies, 0, bytes=16), ["copy 0: bytes 16 instead of 256"]),
    "another slot": (lambda copies: changed(copies, 9, slot=8), ["copy 9: slot 8 instead of 9"]),
    "another warp": (lambda copies: changed(copies, 0, warp=3), ["copy 0: warp 3 instead of 0"]),
    "read by nobody": (lambda copies: changed(copies, 0, reads=0), ["copy 0: reads 0 instead of 1"]),
    "read twice": (lambda copies: changed(copies, 0, reads=2), ["copy 0: reads 2 instead of 1"]),
    "left out at the end": (lambda copies: copies[:-1], ["it is missing"]),
    "one too many": (lambda copies: [*copies, copies[0]], ["the tape has no such copy"]),
    "two swapped": (lambda copies: [copies[1], copies[0], *copies[2:]], ["copy 0: address", "copy 1: address"]),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_difference_is_found(what: str) -> None:
    plant, said = PLANTED[what]
    found = right(TINY)
    found[5] = plant(found[5])
    lines = copytrace.differences(found, TINY, addresses(TINY), TOKENS)
    assert len(lines) == len(said)
    for line, part in zip(lines, said, strict=True):
        assert line.startswith("block 5, ")
        assert part in line


def test_copies_of_a_later_layer_come_from_its_own_tensors() -> None:
    of_layer = (copytrace.count(TINY, 0, TOKENS) - plan.of_block(TINY, 0)[plan.HEAD].count) // 2
    copies = right(TINY)[0]
    # tensors of layer 1 lie 2⁴⁰ bytes behind those of layer 0
    assert copies[of_layer].address - copies[0].address == 2**40
    assert copies[of_layer].slot == of_layer % TINY.slots
    assert copies[-1].address >= 2**50


def test_the_expected_work_is_that_of_the_shape() -> None:
    first, last = copytrace.expected_work(TINY, 15)
    # tiny: hidden 128, 4 query heads and 2 key heads of 32 values, intermediate 256, vocabulary 512
    assert (first["qkv"].rows, first["qkv"].bytes) == (4 * 32 + 2 * 2 * 32, 256 * 256)
    assert (first["cache"].rows, first["cache"].bytes) == (2 * 16, 2 * 16 * 2 * 64)  # 15 older tokens and the new one
    assert (first["out"].rows, first["out"].bytes) == (128, 128 * 256)
    assert (first["gate_up"].rows, first["gate_up"].bytes) == (512, 512 * 256)
    assert (first["down"].rows, first["down"].bytes) == (128 * TINY.pieces, 128 * 512)
    assert (first["head"].rows, last["head"].rows, last["head"].bytes) == (0, 512, 512 * 256)
    assert {**first, "head": None} == {**last, "head": None}
