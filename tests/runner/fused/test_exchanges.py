"""The table of exchanges follows the order of phases."""

from runner.fused import exchanges
from runner.fused.exchanges import END, EXCHANGES, LAYER


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
