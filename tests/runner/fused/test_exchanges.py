"""The table of exchanges follows the order of phases, and has the epochs of the CUDA sources."""

import re

from runner.fused import compiled, exchanges
from runner.fused.exchanges import END, EXCHANGES, LAYER

CALLS = {
    exchanges.QKV: "send_qkv(block",
    exchanges.SPLIT: "attention::split(",
    exchanges.JOIN: "attention::join_splits(",
    exchanges.OUT: "attention::gather_outputs(",
    exchanges.GATE_UP: "mlp::gate_up(",
    exchanges.DOWN: "mlp::down(",
    exchanges.HEAD: "choice::logits(",
    exchanges.CHOOSE: "choice::choose(",
}


def source(name: str) -> str:
    return (compiled.SOURCES / name).read_text()


def test_the_kernel_goes_through_the_phases_in_this_order() -> None:
    text = source("step.cu").partition("decode_step(")[2]
    assert sorted(CALLS, key=lambda phase: text.index(CALLS[phase])) == [phase.name for phase in (*LAYER, *END)]


def test_the_kernel_awaits_the_epochs_of_the_table() -> None:
    hidden = [int(half) for half in re.findall(r"residual::normed\(.*epoch_now\((-?\d)\)\)", source("step.cu"))]
    assert hidden == [each.awaited for each in EXCHANGES if each.buffer == "hidden"]
    gathers = re.compile(r"block\.gather\(\s*v, block\.step\.(\w+),.*?epoch_now\((-?\d)\)", re.DOTALL)
    found = {
        buffer: int(half)
        for header in ("attention.cuh", "mlp.cuh", "choice.cuh")
        for buffer, half in gathers.findall(source(header))
    }
    # a split's weights are gathered with its parts
    assert found == {each.buffer: each.awaited for each in EXCHANGES if each.buffer not in ("hidden", "weights")}


def test_the_kernel_sends_hidden_in_the_epochs_of_the_table() -> None:
    found = re.findall(r"add_and_send\(block, .*, (\d)\);", source("step.cu") + source("mlp.cuh"))
    assert [int(half) for half in found] == [
        next(each.sent for each in EXCHANGES if each.sender == phase) for phase in (exchanges.OUT, exchanges.DOWN)
    ]


def test_a_value_is_sent_and_awaited_in_the_same_epoch() -> None:
    names = [phase.name for phase in (*LAYER, *END)]
    for each in EXCHANGES:
        goes_on = names.index(each.reader) <= names.index(each.sender)  # into the next layer, two epochs later
        assert each.sent == each.awaited + (2 if goes_on else 0)


def test_every_phase_gathers_and_every_one_but_the_last_sends() -> None:
    names = {phase.name for phase in (*LAYER, *END)}
    assert {each.reader for each in EXCHANGES} == names
    assert {each.sender for each in EXCHANGES} == names - {exchanges.CHOOSE}


def test_no_buffer_is_sent_twice_in_an_epoch() -> None:
    sent = {(each.buffer, each.sent, each.sender) for each in EXCHANGES}
    assert len({(buffer, half) for buffer, half, _ in sent}) == len(sent)
