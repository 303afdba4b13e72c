"""A store whose schema is not known is read through MLflow, and left alone where MLflow cannot."""

import sqlite3

import pytest

from analysis.sources import sql
from analysis.sources.client import ClientStore
from analysis.sources.store import Store
from analysis.tables import floor
from runner.errors import StoreUnreachable
from tests.support.sources import TABLES, copied, texts


@pytest.mark.medium
def test_a_schema_that_is_not_known_is_read_through_mlflow(expected, filled, monkeypatch):
    monkeypatch.setattr(sql, "TESTED_REVISIONS", ("0123456789ab",))
    source = Store(filled)
    assert floor.rows(source.frame(floor.METRICS), every_code=True) == TABLES["floor"](ClientStore(filled))
    assert "this version knows the tables of schema 0123456789ab" in source.frame(floor.METRICS).notes[-1]
    assert texts(source) == expected


@pytest.mark.medium
@pytest.mark.parametrize("older", ["", "DROP TABLE trace_info"], ids=["all tables", "without newer tables"])
def test_another_mlflows_schema_is_left_alone_and_the_advice_is_to_bring_a_copy_up_to_date(filled, tmp_path, older):
    uri = copied(filled, tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        store.execute("UPDATE alembic_version SET version_num = '0123456789ab'")
        store.execute(older)
    before = (tmp_path / "mlflow.db").read_bytes()
    with pytest.raises(
        StoreUnreachable, match=r"schema 0123456789ab of another, .*here has the schema dc11669786a5"
    ) as caught:
        Store(uri).frame(floor.METRICS)
    assert str(caught.value).endswith("upgrade the copy with a newer MLflow: `mlflow db upgrade URI-OF-THE-COPY`")
    assert "start it" not in str(caught.value)
    assert (tmp_path / "mlflow.db").read_bytes() == before
