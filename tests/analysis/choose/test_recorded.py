"""Candidates of records."""

from __future__ import annotations

import pytest

from analysis.choose import recorded, ruling
from analysis.choose.limits import Limits
from analysis.choose.scope import Scope
from runner.record import tails
from runner.record.sections.energy import POWER_SAMPLES
from tests.support.energies import energy_record, energy_section, with_energy
from tests.support.records import example_record
from tests.support.reports import too_fast
from tests.support.tailrecords import tail_record, three_sessions

SCOPE = Scope("qwen2.5-7b", 2048, ("h200",))


@pytest.mark.medium
def test_a_chunk_never_spans_two_windows(reading_of) -> None:
    long = {"name": "tail-long", "warmup": 5, "steps": 300, "windows": 10}
    (found,) = recorded.candidates(reading_of([tail_record(protocol=long)]), SCOPE, 8, {})
    assert len(found.tail.samples[0].times) == 10 * 37  # 300 steps are 37 chunks of 8


@pytest.mark.medium
def test_a_group_of_sessions_is_a_candidate_with_its_steps(reading_of) -> None:
    reading = reading_of(three_sessions())
    plain, packed = sorted(recorded.candidates(reading, SCOPE, 1, {}), key=lambda each: each.step_ms)
    assert (plain.configuration.quant, packed.configuration.quant) == ("bf16", "gptq")
    assert len(plain.tail.samples) == 3
    steps = reading.source.details([f"{0:016x}"])[f"{0:016x}"].steps_ms
    assert plain.tail.samples[0].times == sorted(steps)
    assert plain.tail.samples[0].p99_ms == tails.percentile_bound([steps], 99)
    assert packed.tail.p99_ms is None
    assert plain.usd_per_mtok == pytest.approx(3.5 / 3.6e6 * 1e6 * plain.step_ms, rel=0.5)
    assert plain.memory_left_bytes == pytest.approx(141e9 - plain.group.peak_bytes)


@pytest.mark.medium
def test_a_price_of_ones_own_replaces_the_catalogues(reading_of) -> None:
    plain = min(
        recorded.candidates(reading_of(three_sessions()), SCOPE, 1, {"h200": 3.6}), key=lambda each: each.step_ms
    )
    assert plain.usd_per_mtok == pytest.approx(plain.step_ms)  # 3.6 $/h are 1 $ per million ms


@pytest.mark.medium
def test_other_places_and_invalid_sessions_are_no_candidates(reading_of) -> None:
    reading = reading_of([example_record(cell={"ctx": 4096}), example_record(), too_fast()])
    assert [each.configuration.ctx for each in recorded.candidates(reading, SCOPE, 1, {})] == [2048]
    assert recorded.candidates(reading, Scope("qwen2.5-7b", 2048, ("l4",)), 1, {}) == []


@pytest.mark.medium
def test_sessions_of_too_few_steps_for_a_chunk_have_no_tail(reading_of) -> None:
    (found,) = recorded.candidates(reading_of([example_record(step_ms=8.0)]), SCOPE, 64, {})
    assert found.tail is None
    assert found.chunk_ms == 64 * found.step_ms


@pytest.mark.medium
def test_of_many_sessions_the_newest_are_read(reading_of, monkeypatch) -> None:
    monkeypatch.setattr(recorded, "NEWEST", 2)
    found = max(recorded.candidates(reading_of(three_sessions()), SCOPE, 1, {}), key=lambda each: each.group.sessions)
    assert (found.group.sessions, len(found.tail.samples)) == (3, 2)


@pytest.mark.medium
def test_energy_of_another_protocol_is_the_same_cells(reading_of) -> None:
    records = [*(tail_record() for _ in range(3)), *(energy_record(step_ms=8.0) for _ in range(3))]
    other = energy_record(step_ms=8.0, cell={"cache": "dynamic"})
    found = recorded.candidates(reading_of([*records, other]), SCOPE, 1, {})
    plain, tail = sorted((each for each in found if each.group.cache == "static"), key=lambda each: each.group.protocol)
    assert (tail.group.protocol, plain.group.protocol) == ("tail-5-300", "paper-5-30")
    assert tail.source == "J/token as measured with paper-5-30"
    assert tail.joules_per_token == plain.joules_per_token == plain.group.joules_per_token
    assert (tail.joules_low, tail.joules_high) == (plain.joules_low, plain.joules_high)
    assert plain.source == ""


@pytest.mark.medium
def test_flags_of_a_borrowed_energy_are_told(reading_of) -> None:
    sampled = with_energy(example_record(step_ms=8.0), energy_section(8.0, source=POWER_SAMPLES))
    found = recorded.candidates(reading_of([tail_record(), sampled]), SCOPE, 1, {})
    (tail,) = (each for each in found if each.group.protocol == "tail-5-300")
    assert "power-samples" not in tail.flags
    assert tail.source == "J/token as measured with paper-5-30, where it is flagged power-samples"


@pytest.mark.medium
def test_a_limit_is_for_the_session_that_took_most_of_however_many(reading_of) -> None:
    records = [with_energy(example_record(step_ms=8.0), energy_section(8.0, watts)) for watts in (250.0, 375.0)]
    (found,) = recorded.candidates(reading_of(records), SCOPE, 1, {})
    # 250 W · 8 ms = 2 J, 375 W · 8 ms = 3 J
    assert (found.joules_per_token, found.joules_most) == pytest.approx((2.5, 3.0), rel=0.001)
    assert found.joules_high is None
    assert ruling.ruling(found, Limits(joules_per_token=2.6)).word == "too much energy"
