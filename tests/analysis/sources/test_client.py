"""Sessions through MLflow's client: the same as from the records."""

import pytest

from analysis import form
from analysis.sources.client import ClientStore
from analysis.sources.store import Store
from analysis.tables import floor
from runner.errors import StoreUnreachable
from tests.support.sources import TABLES, texts


@pytest.mark.medium
def test_mlflows_client_gives_the_records_json(expected, filled):
    assert texts(ClientStore(filled)) == expected


@pytest.mark.slow
def test_a_tracking_server_gives_the_records_json(expected, server):
    source = Store(server)
    assert {name: form.json_text(TABLES[name](source)) for name in ("floor", "graphs")}.items() <= expected.items()


def test_a_long_cause_ends_with_a_whole_word(tmp_path):
    (tmp_path / "mlruns").mkdir()
    long = r"\w …\): name another in MLFLOW_TRACKING_URI"  # after MLflow's words on such folders
    with pytest.raises(StoreUnreachable, match=long):
        Store(str(tmp_path / "mlruns")).frame(floor.METRICS)
