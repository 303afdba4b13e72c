"""Packets: blocks send each of them once, and what is gathered is sent."""

from collections import Counter

import pytest

from runner.fused import exchanges, geometry, launch, packets, stepplan
from runner.fused.stepplan import StepPlan
from tests.support.fusedshapes import H200, everything, odd


def counted(step: StepPlan, buffer: str, phase: str, sent: bool) -> Counter[int]:
    of = packets.sent if sent else packets.gathered
    ranges = [each for share in step.shares for each in of(phase, step.geometry, share).get(buffer, [])]
    return Counter(packet for each in ranges for packet in each)


@pytest.mark.medium
@pytest.mark.parametrize("tokens", [0, 300])
@pytest.mark.parametrize("name", ["tiny", *odd()])
def test_every_packet_is_sent_once_and_gathered(name: str, tokens: int) -> None:
    step = stepplan.make(geometry.choose(everything()[name], H200), tokens, 1000)
    sizes = launch.exchange_packets(step.geometry)
    for buffer in ("parts", "weights"):
        sizes[buffer] = sizes[buffer] * step.shares[0].tokens.splits // step.geometry.most_splits
    for exchange in step.exchanges:
        sent = counted(step, exchange.buffer, exchange.sender, sent=True)
        assert sent == Counter(range(sizes[exchange.buffer])), exchange
        assert counted(step, exchange.buffer, exchange.reader, sent=False).keys() == sent.keys(), exchange


def test_a_phase_sends_and_gathers_only_what_the_table_of_exchanges_says() -> None:
    step = stepplan.make(geometry.choose(everything()["tiny"], H200), 12, 1000)
    for phase in (*exchanges.LAYER, *exchanges.END):
        for of, side in ((packets.sent, "sender"), (packets.gathered, "reader")):
            named = {each.buffer for each in exchanges.EXCHANGES if getattr(each, side) == phase.name}
            assert {buffer for share in step.shares for buffer in of(phase.name, step.geometry, share)} == named
