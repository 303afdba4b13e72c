"""The rule that tells why a step differs from the paper's."""

import pytest

from analysis.tables import _reasons
from analysis.tables._reasons import Evidence
from tests.support.derive import derive
from tests.support.papers import FLOOR_PAPER_MS, h100_check, on, with_cell, with_flags
from tests.support.records import H100


def changed(found, path, value):
    """A record with one measured value flipped, derived again."""
    *parents, leaf = path.split(".")
    target = found
    for name in parents:
        target = target[name]
    target[leaf] = value
    derive(found)
    return found


def reason(found):
    row = h100_check([found])
    assert row.verdict == "differs"
    return row.reason


def slow(**changes):
    """A step three times the paper's, in which kernels are busy all the time and the memory is read at full speed."""
    found = on(H100, 3 * FLOOR_PAPER_MS / 0.27, **changes)
    found["passes"]["busy"]["steps_ms"] = [0.95 * ms for ms in found["passes"]["wall"]["steps_ms"]]
    return changed(found, "probes.read_samples_gbs", [3100.0] * 5)


def with_busy(found, share):
    found["passes"]["busy"]["steps_ms"] = [share * ms for ms in found["passes"]["wall"]["steps_ms"]]
    derive(found)
    return found


@pytest.mark.medium
def test_the_reason_follows_what_was_recorded():
    assert reason(slow()).startswith("other software: torch ")
    # one value flipped at a time
    assert reason(with_busy(slow(), 0.3)) == "kernels run in 30 % of the eager step; the card is idle for the rest"
    assert reason(changed(slow(), "probes.read_samples_gbs", [2010.0] * 5)).startswith(
        "this card's memory reads at 60 % of the datasheet's peak"
    )
    assert reason(with_cell(slow(), cache="static")).startswith("a static cache")
    assert reason(with_flags(slow(), "throttled")) == "the card was throttled (flag throttled)"
    # the flag goes before the host
    assert "throttled" in reason(with_flags(with_busy(slow(), 0.3), "throttled"))


def fast(busy):
    """A step that takes half as long as the paper's."""
    return with_busy(on(H100, 0.5 * FLOOR_PAPER_MS / 0.27), busy)


@pytest.mark.medium
def test_nothing_that_slows_a_step_explains_a_faster_one():
    assert reason(fast(0.95)) == "kernels run in 95 % of the eager step"
    waiting = reason(fast(0.3))
    assert waiting.startswith("other software")
    assert reason(with_flags(fast(0.3), "throttled", "host-busy", "shared-card", "shared-host")) == waiting
    assert reason(changed(fast(0.3), "probes.read_samples_gbs", [2010.0] * 5)) == waiting


def test_without_a_recorded_cause_none_is_made_up():
    assert _reasons.likely_reason(None, is_slower=True) == "no recorded value explains it"


def test_only_an_eager_step_is_explained_by_the_share_in_which_its_kernels_run():
    def told(runtime, busy_ms, is_slower):
        return _reasons.likely_reason(
            Evidence("h100", runtime, "dynamic", [], 10.0, busy_ms, 3300.0, "2.11.0"), is_slower
        )

    software = "other software: torch 2.11.0 here; the paper states no version"
    # idle from below 60 % on
    assert told("eager", 5.9, is_slower=True).startswith("kernels run in 59 % of the eager step; the card is idle")
    assert told("eager", 6.0, is_slower=True) == software
    assert told("eager", 6.0, is_slower=False) == "kernels run in 60 % of the eager step"
    assert told("graph", 5.9, is_slower=True) == told("eager", None, is_slower=True) == software


def test_a_card_that_is_in_no_catalogue_or_was_not_probed_does_not_read_slowly():
    def told(gpu, read_gbs):
        return _reasons.likely_reason(Evidence(gpu, "graph", "dynamic", [], 10.0, None, read_gbs, None), is_slower=True)

    # 85 % of the H100's 3350 GB/s are 2847.5
    assert told("h100", 2847.0) == "this card's memory reads at 85 % of the datasheet's peak"
    assert told("h100", 2848.0) == told("h100", None) == told("nobodys", 100.0) == "no recorded value explains it"
