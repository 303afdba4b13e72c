"""The statistics of an A/B: arithmetic that can be followed by hand, and what must hold for any sessions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.statistics import comparison
from analysis.statistics.comparison import AMBIGUOUS, FASTER, SAME, SLOWER, HostSessions, compare
from runner.errors import BadValue

SECONDS = st.floats(min_value=0.1, max_value=1e3, allow_nan=False)
MIRRORED = {FASTER: SLOWER, SLOWER: FASTER, SAME: SAME, AMBIGUOUS: AMBIGUOUS, None: None}


def one_host(a, b):
    return [HostSessions("host", tuple(a), tuple(b))]


@st.composite
def arms(draw):
    count = draw(st.integers(5, 12))
    return tuple(tuple(draw(st.lists(SECONDS, min_size=count, max_size=count))) for _ in range(2))


def test_the_ratio_is_that_of_the_median_sessions():
    a, b = (20.0, 30.0, 22.0, 21.0, 40.0), (8.0, 8.2, 8.1, 8.4, 7.9)
    assert compare(one_host(a, b)).ratio == pytest.approx(22.0 / 8.1)


def test_an_interval_of_five_sessions_is_put_together_from_both_ranges():
    # median and range of a: 22, 20..40; of b: 8.1, 7.9..8.4. MOVER on logs, a being so much wider that Student's t is
    # that of its own 4 degrees of freedom (all but):
    # lower distance: sqrt(ln(22/20)^2 + ln(8.4/8.1)^2), upper: sqrt(ln(40/22)^2 + ln(8.1/7.9)^2)
    found = compare(one_host((20.0, 30.0, 22.0, 21.0, 40.0), (8.0, 8.2, 8.1, 8.4, 7.9)))
    down = math.hypot(math.log(22 / 20), math.log(8.4 / 8.1))
    up = math.hypot(math.log(40 / 22), math.log(8.1 / 7.9))
    assert math.log(found.ratio / found.low) == pytest.approx(down, rel=0.02)
    assert math.log(found.high / found.ratio) == pytest.approx(up, rel=0.02)


def test_equal_arms_of_like_width_have_the_t_of_both():
    # widths equal: 2 x 4 = 8 degrees of freedom, t 2.306 instead of 2.776 at 4
    one, none = np.ones(1), np.zeros(1)
    assert comparison._satterthwaite(one, one, 4)[0] == pytest.approx(2.306 / 2.776, rel=1e-3)
    assert comparison._satterthwaite(one, none, 4)[0] == pytest.approx(1.0)
    assert comparison._satterthwaite(none, none, 4)[0] == pytest.approx(1.0)


def test_an_arms_degrees_of_freedom_are_the_spacings_of_its_width():
    assert comparison._freedom(5) == 0.75 * 4  # the range of five
    # of ten from between the 2nd and 3rd to between the 8th and 9th: between 5 and 7
    assert 0.75 * 5 < comparison._freedom(10) < 0.75 * 7


def test_two_hosts_alike_narrow_the_interval_by_the_root_of_two():
    a, b = (20.0, 30.0, 22.0, 21.0, 40.0), (8.0, 8.2, 8.1, 8.4, 7.9)
    one, two = compare(one_host(a, b)), compare([HostSessions("one", a, b), HostSessions("two", a, b)])
    assert two.ratio == pytest.approx(one.ratio)
    assert math.log(two.high / two.ratio) == pytest.approx(math.log(one.high / one.ratio) / math.sqrt(2))
    assert math.log(two.ratio / two.low) == pytest.approx(math.log(one.ratio / one.low) / math.sqrt(2))


def test_cv_is_the_standard_deviation_over_the_mean():
    # 9, 10, 11, 10, 10: mean 10, squares 1 + 1, sd = sqrt(2 / 4) = 0.7071
    found = compare(one_host((9.0, 10.0, 11.0, 10.0, 10.0), (5.0,) * 5))
    assert found.cv_a == pytest.approx(0.07071, rel=1e-3)
    assert found.cv_b == 0


def test_four_times_the_sessions_halve_the_interval():
    found = compare(one_host((9.9, 10.0, 10.1, 9.95, 10.05), (5.0,) * 5))
    now = comparison.half_width(math.sqrt(found.low * found.high), found.low, found.high)
    assert found.sessions_needed == math.ceil(5 * (now / 0.005) ** 2)


@pytest.mark.slow
@given(arms())
def test_swapped_arms_invert_ratio_interval_and_verdict(both):
    a, b = both
    found, swapped = compare(one_host(a, b)), compare(one_host(b, a))
    assert swapped.ratio == pytest.approx(1 / found.ratio)
    assert (swapped.low, swapped.high) == pytest.approx((1 / found.high, 1 / found.low))
    assert swapped.verdict == MIRRORED[found.verdict]


@pytest.mark.slow
@given(arms(), st.floats(0.01, 100))
def test_a_slower_clock_changes_nothing(both, factor):
    a, b = both
    found = compare(one_host(a, b))
    scaled = compare(one_host([factor * value for value in a], [factor * value for value in b]))
    assert (scaled.ratio, scaled.low, scaled.high) == pytest.approx((found.ratio, found.low, found.high))


@pytest.mark.slow
@given(arms(), st.randoms(use_true_random=False))
def test_the_order_of_sessions_does_not_matter(both, random):
    a, b = map(list, both)
    found = compare(one_host(a, b))
    random.shuffle(a)
    random.shuffle(b)
    again = compare(one_host(a, b))
    assert (again.ratio, again.low, again.high) == pytest.approx((found.ratio, found.low, found.high))


@pytest.mark.slow
@given(arms())
def test_the_interval_holds_the_ratio(both):
    found = compare(one_host(*both))
    assert found.low <= found.ratio * (1 + 1e-12)
    assert found.ratio <= found.high * (1 + 1e-12)


@pytest.mark.medium
@given(SECONDS, SECONDS)
def test_so_does_the_range_of_one_session_to_the_last_bit(a, b):
    found = compare(one_host((a,), (b,)))
    assert found.low <= found.ratio <= found.high


def test_the_same_sessions_twice_are_the_same():
    found = compare(one_host((10.0,) * 5, (10.0,) * 5))
    assert (found.verdict, found.low, found.high, found.bootstrap) == (SAME, 1.0, 1.0, None)


@pytest.mark.parametrize(
    ("a_ms", "verdict"), [(10.3, FASTER), (9.7, SLOWER), (10.0, SAME), (10.05, SAME), (10.1, AMBIGUOUS)]
)
def test_the_verdict_is_by_the_whole_interval(a_ms, verdict):
    spread = (-0.01, -0.005, 0.0, 0.005, 0.01)  # the interval is about ±0.1 %
    found = compare(one_host([a_ms + each for each in spread], [10 + each for each in spread]))
    assert found.verdict == verdict
    assert found.reason


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        # 1.01 on the one side and 1 / 1.01 = 0.990099 on the other, so that swapped arms have the same limits
        (1.0101, 1.2, FASTER),
        (1.0099, 1.2, AMBIGUOUS),
        (0.8, 0.99009, SLOWER),
        (0.8, 0.99011, AMBIGUOUS),
        (0.99011, 1.0099, SAME),
        (0.99009, 1.0099, AMBIGUOUS),
        (0.99011, 1.0101, AMBIGUOUS),
    ],
)
def test_the_limits_of_a_verdict(low, high, verdict):
    assert comparison._verdict(low, high, comparison.THRESHOLD, 7)[0] == verdict


OPEN = "includes 1 (no difference) and reaches beyond ±1 %."
MORE = "About 7 sessions of each arm would be needed on this host for ±0.5 %; use an idle machine"


@pytest.mark.parametrize(
    ("low", "high", "verdict", "reason"),
    [
        (1.2, 1.3, FASTER, "b is faster than a by more than 1 %, as all of [1.200, 1.300] lies above 1.01"),
        (0.7, 0.8, SLOWER, "b is slower than a by more than 1 %, as all of [0.700, 0.800] lies below 1/1.01"),
        (1 / 1.01, 1.01, SAME, "the whole interval [0.990, 1.010] lies within 1 % of 1 (no difference)"),
        (
            1.001,
            1.2,
            AMBIGUOUS,
            f"the interval [1.001, 1.200] shows that b is faster, but not whether by more than 1 %. {MORE}",
        ),
        (
            0.8,
            0.999,
            AMBIGUOUS,
            f"the interval [0.800, 0.999] shows that b is slower, but not whether by more than 1 %. {MORE}",
        ),
        (0.8, 1.2, AMBIGUOUS, f"the interval [0.800, 1.200] {OPEN} {MORE}"),
        (1.0, 1.2, AMBIGUOUS, f"the interval [1.000, 1.200] {OPEN} {MORE}"),
        (0.8, 1.0, AMBIGUOUS, f"the interval [0.800, 1.000] {OPEN} {MORE}"),
    ],
)
def test_a_verdict_has_its_reason(low, high, verdict, reason):
    assert comparison._verdict(low, high, 0.01, 7) == (verdict, reason)


def test_an_open_verdict_counts_sessions_in_groups_of_three_digits():
    _, reason = comparison._verdict(0.97, 1.04, 0.01, 921020, hosts=2)
    assert "About 921 020 sessions of each arm would be needed on these hosts" in reason


def test_so_many_sessions_bring_the_interval_to_half_a_percent():
    # ±1 % at 10 is ±0.5 % at four times as many; less than five are never enough
    assert comparison._sessions_needed(10, 0.99, 1.01) == 41  # by the geometric middle: 40.004
    assert comparison._sessions_needed(10, 0.9999, 1.0001) == 5


@pytest.mark.medium
def test_the_bootstrap_weighs_hosts_by_their_sessions():
    # logs of ratio 2 at ten sessions and 4 at five: 2 ** (2/3) * 4 ** (1/3) = 2 ** (4/3)
    spread = np.linspace(-0.001, 0.001, 10)
    many = HostSessions("many", tuple(20 + spread), tuple(10 + spread))
    few = HostSessions("few", tuple(40 + spread[::2]), tuple(10 + spread[::2]))
    low, high = compare([many, few]).bootstrap
    assert low <= high
    assert (low, high) == pytest.approx((2 ** (4 / 3), 2 ** (4 / 3)), rel=1e-3)
    assert compare([many, few]).ratio == pytest.approx(2 ** (4 / 3), rel=1e-3)


def test_the_bootstrap_is_as_wide_as_so_many_resamples_make_it():
    assert comparison.RESAMPLES == 9999  # the paper's way; fewer move its ends by more than the last digit shown


def test_what_is_open_is_told_with_the_sessions_that_would_settle_it():
    found = compare(one_host((10.0, 10.2, 10.4, 10.1, 10.3), (10.0, 10.2, 10.1, 9.9, 10.3)))
    assert found.verdict == AMBIGUOUS
    assert f"{found.sessions_needed} sessions of each arm would be needed" in found.reason


def test_below_five_sessions_there_is_a_range_and_no_verdict():
    found = compare(one_host((20.0, 22.0, 30.0), (8.0, 8.1, 8.2)))
    assert (found.verdict, found.interval, found.sessions_needed, found.bootstrap) == (None, "range", None, None)
    assert (found.low, found.high) == (20.0 / 8.2, 30.0 / 8.0)
    assert "an interval and a verdict need at least 5" in found.reason
    assert compare(one_host((20.0,), (8.0,))).interval == "none"


def test_the_ratio_is_taken_within_hosts():
    # one host is twice as slow in everything: pooled medians would mix 20 with 20, each host says 2
    slow = HostSessions("slow", (40.0,) * 5, (20.0,) * 5)
    fast = HostSessions("fast", (20.0,) * 5, (10.0,) * 5)
    found = compare([slow, fast])
    assert (found.ratio, found.hosts, found.sessions) == (pytest.approx(2.0), 2, 10)
    assert (found.a_ms, found.b_ms) == pytest.approx((math.sqrt(40 * 20), math.sqrt(20 * 10)))


def test_a_host_with_fewer_than_five_sessions_is_told_and_not_used():
    whole, few = HostSessions("one", (20.0,) * 5, (10.0,) * 5), HostSessions("two", (90.0,) * 2, (10.0,) * 2)
    found = compare([whole, few])
    assert (found.ratio, found.sessions, found.unused, found.hosts) == (pytest.approx(2.0), 5, 2, 1)
    assert (found.a_ms, found.b_ms) == pytest.approx((20.0, 10.0))


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        one_host((), ()),
        one_host((1.0, 2.0), (1.0,)),
        one_host((0.0,), (1.0,)),
        one_host((math.nan,), (1.0,)),
        one_host((-1.0,), (1.0,)),
        one_host((math.inf,), (1.0,)),
    ],
)
def test_what_is_no_comparison_is_refused_in_one_line(hosts):
    with pytest.raises(BadValue):
        compare(hosts)


def test_scipys_bootstrap_is_beside_it():
    found = compare(one_host((9.9, 10.0, 10.1, 9.95, 10.05, 10.2), (5.0, 5.01, 5.02, 4.99, 5.03, 5.0)))
    low, high = found.bootstrap
    assert low < found.ratio < high


def test_the_bootstrap_is_scipys_of_the_ratio_of_medians(monkeypatch):
    monkeypatch.setattr(comparison, "RESAMPLES", 199)
    both = ((9.9, 10.0, 10.1, 9.95, 10.05, 10.2), (5.0, 5.1, 5.2, 4.9, 5.3, 5.05))

    def ratio(a, b):
        return np.median(a) / np.median(b)

    known = stats.bootstrap(both, ratio, n_resamples=199, rng=0, vectorized=False).confidence_interval
    assert compare(one_host(*both)).bootstrap == pytest.approx((known.low, known.high))
    assert compare(one_host(*both), bootstrapped=False).bootstrap is None


def test_arms_of_unlike_width_have_the_degrees_of_freedom_of_welch_and_satterthwaite():
    # squared widths 1 and x = 2 + √3: x² + 1 = 4x, (1 + x)² = 6x, so 4 degrees become 6: t 2.447 instead of 2.776
    narrow, wide = np.array([0.01]), np.array([0.01 * math.sqrt(2 + math.sqrt(3))])
    for widths in ((narrow, wide), (wide, narrow)):
        assert comparison._satterthwaite(*widths, 4)[0] == pytest.approx(2.447 / 2.776, rel=1e-3)


def test_unequally_many_sessions_have_the_width_of_both_arms_as_it_is():
    # a as above, and six of b with the ends 8 and 8.4 twice, so that the way inwards between them changes nothing
    a, b = np.log([[20.0, 30.0, 22.0, 21.0, 40.0]]), np.log([[8.0, 8.0, 8.1, 8.1, 8.4, 8.4]])
    down, up = comparison.ratio_distances(a, b)
    assert down.item() == pytest.approx(math.hypot(math.log(22 / 20), math.log(8.4 / 8.1)))
    assert up.item() == pytest.approx(math.hypot(math.log(40 / 22), math.log(8.1 / 8.0)))


def test_the_bootstrap_takes_the_arms_of_each_of_three_hosts_together():
    # ratios 2 at ten sessions, 4 and 8 at five each: 2 ** (1 · 1/2 + 2 · 1/4 + 3 · 1/4)
    spread = np.linspace(-0.001, 0.001, 10)
    hosts = [
        HostSessions("ten", tuple(20 + spread), tuple(10 + spread)),
        HostSessions("five", tuple(80 + spread[::2]), tuple(20 + spread[::2])),
        HostSessions("five more", tuple(320 + spread[::2]), tuple(40 + spread[::2])),
    ]
    found = compare(hosts)
    assert found.ratio == pytest.approx(2**1.75, rel=1e-3)
    assert found.bootstrap == pytest.approx((2**1.75, 2**1.75), rel=1e-3)


def test_a_bootstrap_without_an_acceleration_is_none():
    # whichever session is left out, the median stays: BCa divides 0 by 0
    assert compare(one_host((10.0,) * 5, (5.0, 5.0, 5.0, 5.0, 6.0))).bootstrap is None


@pytest.mark.parametrize(("low", "high"), [(1.01, 1.2), (0.8, 1 / 1.01)])
def test_an_interval_that_ends_at_the_threshold_does_not_lie_beyond_it(low, high):
    assert comparison._verdict(low, high, 0.01, 7)[0] == AMBIGUOUS


def test_an_interval_of_just_half_a_percent_needs_no_more_sessions():
    # half of e^x - e^-x is sinh(x)
    end = math.exp(math.asinh(0.005))
    assert comparison._sessions_needed(10, 1 / end, end) == 10


def test_cv_is_within_hosts():
    # ±0.1 of 10 and of 20: four squares of 0.01 over two degrees of freedom
    assert comparison._variation([(9.0, 11.0), (18.0, 22.0)]) == pytest.approx(math.sqrt(0.02))
    assert comparison._variation([(9.0,), (18.0,)]) == 0


def test_two_sessions_have_a_range_and_most_of_one_host_are_told():
    assert compare(one_host((20.0, 22.0), (8.0, 8.1))).interval == "range"
    found = compare([HostSessions("one", (20.0,) * 2, (8.0,) * 2), HostSessions("two", (20.0,) * 3, (8.0,) * 3)])
    assert found.reason.startswith("3 sessions of each arm on any of 2 hosts: ")
