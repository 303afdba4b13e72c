"""A comparison that was kept is the one that would be computed."""

from dataclasses import replace

import pytest

from analysis.statistics import cached, comparison
from analysis.statistics.comparison import HostSessions

HOSTS = (HostSessions("host", (20.0, 22.0, 21.0, 23.0, 20.5), (8.0, 8.1, 8.2, 7.9, 8.05)),)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.parametrize("bootstrapped", [False, True])
def test_what_was_kept_is_what_is_computed(bootstrapped):
    made = comparison.compare(HOSTS, bootstrapped=bootstrapped)
    assert [cached.compare(HOSTS, bootstrapped) for _ in range(2)] == [made, made]


def test_one_without_a_bootstrap_does_not_stand_for_one_with_it():
    assert cached.compare(HOSTS, bootstrapped=False).bootstrap is None
    assert cached.compare(HOSTS).bootstrap is not None
    assert cached.compare(HOSTS, bootstrapped=False).bootstrap is None


@pytest.mark.parametrize("bootstrapped", [False, True])
def test_what_was_kept_is_not_computed_again(monkeypatch, bootstrapped):
    made = cached.compare(HOSTS, bootstrapped)
    monkeypatch.setattr(comparison, "compare", lambda *_, **__: pytest.fail("computed again"))
    assert cached.compare(HOSTS, bootstrapped) == made


def test_by_other_code_it_is_computed_again(monkeypatch):
    made = cached.compare(HOSTS, bootstrapped=False)
    monkeypatch.setattr(cached, "_code", lambda: "of-another-version")
    monkeypatch.setattr(comparison, "compare", lambda *_, **__: replace(made, reason="computed again"))
    assert cached.compare(HOSTS, bootstrapped=False).reason == "computed again"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"bootstrap": null}', "null"])
def test_what_is_damaged_is_computed_again(tmp_path, text):
    made = cached.compare(HOSTS, bootstrapped=False)
    (entry,) = (path for path in tmp_path.rglob("*") if path.is_file())
    entry.write_text(text)
    assert cached.compare(HOSTS, bootstrapped=False) == made


@pytest.mark.medium
def test_other_sessions_are_another_entry():
    (host,) = HOSTS
    other = HostSessions("host", (*host.a[:-1], 20.6), host.b)
    assert cached.compare([other]).ratio == cached.compare(HOSTS).ratio  # the same medians
    assert cached.compare([other]).cv_a != cached.compare(HOSTS).cv_a
    assert cached.compare([HostSessions("host", host.b, host.a)]).ratio == pytest.approx(
        1 / cached.compare(HOSTS).ratio
    )
