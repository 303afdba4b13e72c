"""The same sessions come from records, from a store's tables and through MLflow's client: kinds, details and errors."""

import polars
import pytest

from analysis.sources.client import ClientStore
from analysis.sources.records import Folder
from analysis.sources.store import Store
from analysis.tables import floor
from runner.errors import StoreUnreachable
from tests.support.sources import OF_FIRST
from tests.support.stores import free_port


@pytest.mark.medium
def test_the_examples_have_all_kinds_of_groups(expected):
    for kind in ('"status": "oom"', '"status": "infeasible"', '"valid": false', "mixed-host", '"gpu": "cpu"', '"ci95"'):
        assert kind in expected["floor"]
    assert '"verdict"' in expected["graphs"]
    assert '"quant": "gptq"' in expected["quant"]


@pytest.mark.medium
def test_details_are_the_same_by_every_way(folder, filled):
    sources = [Folder(folder), Store(filled), ClientStore(filled)]
    wanted = [f"{number:016x}" for number in (0, 10)]
    for source in sources:
        source.frame(("step_wall_ms", "session"))
    first, *others = [source.details(wanted) for source in sources]
    assert first.keys() == set(wanted)
    assert len(first[wanted[0]].steps_ms) == 30
    assert first[wanted[0]].params["environment.torch"]
    assert all(other == first for other in others)


@pytest.mark.medium
def test_a_step_that_is_no_number_is_not_drawn(changeable):
    uri, connection = changeable
    change = f"UPDATE metrics SET value = 0, is_nan = '1' WHERE key LIKE '%series%' AND step = 3 AND {OF_FIRST}"
    assert connection.execute(change).rowcount == 1
    connection.commit()
    for source in (Store(uri), ClientStore(uri)):
        source.frame(("step_wall_ms", "session"))
        assert len(source.details([f"{0:016x}"])[f"{0:016x}"].steps_ms) == 29


@pytest.mark.medium
@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_is_away_is_one_line_without_the_password(scheme):
    uri = f"{scheme}://tester:se%40cret@127.0.0.1:{free_port()}/db"
    with pytest.raises(StoreUnreachable, match="cannot be read") as caught:
        Store(uri).frame(floor.METRICS)
    assert "\n" not in str(caught.value)
    assert "cret" not in str(caught.value)


@pytest.mark.medium
def test_the_windows_of_a_session_are_the_same_by_every_way(folder, filled):
    """The last two examples have ten windows, of 300 and of 40 steps."""
    sources = [Folder(folder), Store(filled), ClientStore(filled)]
    frames = [source.frame(("step_wall_ms", "p99_ms", "max_ms", "jitter_ms", "session")).sessions for source in sources]
    (long,) = frames[0].filter(polars.col("protocol") == "tail-long-5-10x300").to_dicts()
    (custom,) = frames[0].filter(polars.col("protocol") == "custom-5-10x40").to_dicts()
    assert 0 < long["jitter_ms"] < long["p99_ms"] <= long["max_ms"]
    for other in frames[1:]:
        assert other.drop("run_id").equals(frames[0].drop("run_id"))
    first, *others = [source.details([long["session"], custom["session"], f"{0:016x}"]) for source in sources]
    assert [len(window) for window in first[long["session"]].windows_ms] == [300] * 10
    assert [len(window) for window in first[custom["session"]].windows_ms] == [40] * 10
    assert first[f"{0:016x}"].windows_ms == (first[f"{0:016x}"].steps_ms,)
    assert all(other == first for other in others)
