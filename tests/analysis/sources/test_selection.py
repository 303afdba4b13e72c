"""The selection of a command: its source, its filters, and what a filter leaves."""

import pytest

from analysis import commands
from analysis.sources.client import ClientStore
from analysis.sources.records import Folder
from analysis.sources.selection import Selection
from analysis.sources.store import Store
from analysis.tables import graphs
from runner.errors import BadRecord, BadValue
from tests.support.hostconditions import conditioned
from tests.support.reports import write_records
from tests.support.sources import NO_FILTERS

FILTERS = {
    "sessions, none of an A/B": ({"gpu": "cpu"}, BadRecord, "no A/B between runtimes"),
    "a study of no A/B": ({"study": "adhoc"}, BadRecord, "no A/B between runtimes"),
    "no such gpu": ({"gpu": "l4"}, BadValue, "has gpu l4: it has gpu cpu, h200; model qwen2.5-7b"),
    "no such study": ({"study": "none"}, BadValue, "has study none: it has gpu .*; study adhoc, cuda-graphs"),
}


@pytest.mark.medium
@pytest.mark.parametrize(("wanted", "error", "said"), FILTERS.values(), ids=FILTERS)
def test_a_filter_that_leaves_no_ab_is_answered_by_all_sessions(folder, filled, postgresql, wanted, error, said):
    for source in (Folder(folder), Store(filled), Store(filled), ClientStore(filled), Store(postgresql)):
        asked = Selection(source, None, NO_FILTERS | wanted)
        with pytest.raises(error, match=said):
            commands.read(graphs.TABLE, asked)


@pytest.mark.medium
def test_auto_is_no_store_and_no_filter(folder):
    asked = Selection.from_options("auto", folder, "auto", None, "auto")
    assert (asked.uri, asked.filters, asked.description) == (None, NO_FILTERS, "")
    assert isinstance(asked.source, Folder)


def test_a_store_and_records_are_one_source_too_many(folder):
    with pytest.raises(BadValue, match="--store and --records exclude each other: name one"):
        Selection.from_options("sqlite:///mlflow.db", folder, None, None, None)


@pytest.mark.parametrize("place", range(4))
def test_an_empty_value_is_refused_by_the_name_of_its_option(folder, place):
    options = {"store": None, "gpu": None, "model": None, "study": None}
    name = list(options)[place]
    with pytest.raises(BadValue, match=f"^--{name} is empty: give it a value, or leave it out$"):
        Selection.from_options(records=folder, **options | {name: ""})


def test_the_store_is_the_one_that_mlflow_is_told(filled, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", filled)
    assert Selection.from_options(None, None, "h200", None, None).uri == filled


@pytest.mark.medium
def test_filters_are_told_in_words_and_one_of_a_study_reads_the_studies(folder):
    source = Folder(folder)
    asked = Selection(source, None, NO_FILTERS | {"gpu": "h200", "study": "cuda-graphs"})
    assert asked.description == "gpu h200 and study cuda-graphs"
    assert set(asked.frame(("step_wall_ms",)).sessions["study"]) == {"cuda-graphs"}
    assert "study" not in Selection(source, None, NO_FILTERS).frame(("step_wall_ms",)).sessions.columns


@pytest.mark.medium
def test_sessions_under_a_condition_of_the_host_are_something_to_filter(tmp_path):
    folder = Folder(write_records(tmp_path / "made", [conditioned("pinned:1")]))
    chosen = Selection(folder, None, NO_FILTERS | {"gpu": "h200"}).frame([])
    assert (len(chosen.sessions), len(chosen.conditioned)) == (0, 1)
    with pytest.raises(BadValue, match="has gpu l4: it has gpu h200"):
        Selection(folder, None, NO_FILTERS | {"gpu": "l4"}).frame([])
