"""The tables of SQLite and PostgreSQL give what the records give."""

import pytest

from analysis.sources.client import ClientStore
from analysis.sources.store import Store
from tests.support.sources import texts


@pytest.mark.medium
def test_an_sqlite_store_gives_the_records_json(expected, filled):
    assert texts(Store(filled)) == expected  # from the tables
    assert texts(Store(filled)) == expected  # from the cache


@pytest.mark.slow
def test_postgresql_gives_the_records_json(expected, postgresql):
    assert texts(Store(postgresql)) == expected
    assert texts(ClientStore(postgresql)) == expected
