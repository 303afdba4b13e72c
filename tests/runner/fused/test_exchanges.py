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


def order(header: str, function: str, **marks: str) -> list[str]:
    """Returns the names of marks in the order in which the text of a function has them."""
    body = source(header).partition(f" {function}(const Block& block")[2].partition("\n}\n")[0]
    found = [(at.start(), name) for name, mark in marks.items() for at in re.finditer(re.escape(mark), body)]
    return [name for _, name in sorted(found)]


def test_the_kernel_has_the_barriers_of_the_table() -> None:
    """All warps have what they gathered before one of them writes what others read, or sends (docs/fused.md)."""
    assert {phase.name for phase in (*LAYER, *END) if not phase.has_barrier} == {exchanges.JOIN}
    sync = "block.sync()"
    around_input = ["gather", "sync", "write", "sync"]
    written = "input[pair(k)] ="  # for Wq Wk Wv, Wgate Wup and the head
    assert order("residual.cuh", "normed", gather="block.gather(", sync=sync, write=written) == around_input
    written = "(memory::input)[index(k)] ="  # for Wo
    assert order("attention.cuh", "gather_outputs", gather="block.gather(", sync=sync, write=written) == around_input
    marks = {"gather": "rotate(block", "sync": sync, "read": "load_shared(query", "send": "join_warps(block"}
    assert order("attention.cuh", "split", **marks) == ["gather", "sync", "read", "send"]
    marks = {"round": "for (int round", "sync": sync, "gather": "down_round(block", "send": "add_and_send(block"}
    assert order("mlp.cuh", "down", **marks) == ["round", "sync", "gather", "sync", "send"]


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
