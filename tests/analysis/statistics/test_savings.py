"""Savings of sessions that were not planned as an A/B: within hosts, and put together as those of an A/B."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.statistics import comparison, intervals, savings
from analysis.statistics.comparison import HostSessions

STEPS = st.lists(st.floats(1.0, 100.0), min_size=1, max_size=4)


def evenly(middle, count):
    return tuple(middle + number / 10 for number in range(count))


@pytest.mark.parametrize("hosts", [1, 2])
@pytest.mark.parametrize("count", [5, 8])
def test_of_as_many_sessions_of_both_it_is_what_an_ab_would_say(count, hosts):
    arms = [(evenly(20.0 + host, count), evenly(10.0 + 2 * host, count)) for host in range(hosts)]
    found = savings.within_hosts(arms)
    expected = comparison.compare([HostSessions(str(n), a, b) for n, (a, b) in enumerate(arms)], bootstrapped=False)
    assert (found.ratio, found.low, found.high) == pytest.approx((expected.ratio, expected.low, expected.high))
    assert (found.interval, found.hosts) == (expected.interval, hosts) == ("ci95", hosts)


def test_a_host_weighs_by_how_sure_its_ratio_is():
    # ratios 2 and 4; 1 · 1 / 2 = 0.5 and 1 · 3 / 4 = 0.75: two fifths of the logarithm from the first
    found = savings.within_hosts([((20.0,), (10.0,)), ((40.0,), (10.0, 10.0, 10.0))])
    assert found.ratio == pytest.approx(2.0**0.4 * 4.0**0.6)
    assert (found.low, found.high, found.interval) == (2.0, 4.0, "range")


def test_a_host_with_fewer_than_five_of_a_cell_is_left_out_where_another_has_them():
    full, few = (evenly(20.0, 5), evenly(10.0, 5)), (evenly(90.0, 9), evenly(10.0, 4))
    found = savings.within_hosts([full, few])
    assert (found.hosts, found.ratio) == (1, pytest.approx(20.2 / 10.2))
    assert savings.within_hosts([few]).interval == "range"


def test_unequally_many_sessions_have_an_interval_no_narrower_than_either_cells_own():
    a, b = evenly(20.0, 5), evenly(10.0, 20)
    found = savings.within_hosts([(a, b)])
    low, high, _ = intervals.session_interval(a)
    assert found.low < found.ratio < found.high
    assert found.high / found.low >= high / low


def test_five_of_one_cell_and_four_of_the_other_have_the_range_of_single_sessions():
    found = savings.within_hosts([((20.0, 21.0, 22.0, 23.0, 24.0), (10.0, 11.0, 8.0, 12.0))])
    assert (found.low, found.high) == (20.0 / 12.0, 24.0 / 8.0)
    assert (found.interval, found.label) == ("range", "range")


def test_one_pair_on_each_of_two_hosts_has_the_range_of_both():
    found = savings.within_hosts([((20.0,), (10.0,)), ((30.0,), (10.0,))])
    assert (found.low, found.high, found.interval, found.hosts) == (2.0, 3.0, "range", 2)
    assert found.ratio == pytest.approx((2.0 * 3.0) ** 0.5)


def test_one_session_of_each_has_no_range():
    found = savings.within_hosts([((20.0,), (10.0,))])
    assert (found.ratio, found.low, found.high, found.interval, found.label) == (2.0, 2.0, 2.0, "none", None)


@pytest.mark.medium
@given(st.lists(st.tuples(STEPS, STEPS), min_size=1, max_size=3))
def test_the_saving_lies_in_the_range_of_the_ratios(arms):
    found = savings.within_hosts(arms)
    assert found.low * (1 - 1e-9) <= found.ratio <= found.high * (1 + 1e-9)


def test_the_label_is_of_the_cell_with_fewer_sessions():
    assert savings.within_hosts([(evenly(20.0, 5), evenly(10.0, 9))]).label == "93.75 %"
    assert savings.within_hosts([(evenly(20.0, 6), evenly(10.0, 9))]).label == "95 %"


def test_over_two_hosts_of_five_the_label_is_that_of_all_sessions():
    assert savings.within_hosts([(evenly(20.0, 5), evenly(10.0, 9))] * 2).label == "95 %"


def test_a_third_session_makes_a_range():
    found = savings.within_hosts([((20.0, 21.0), (10.0,))])
    assert (found.low, found.high, found.interval, found.label) == (2.0, 2.1, "range", "range")
