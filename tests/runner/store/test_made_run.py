"""A name that the user gave stays; one that MLflow made up becomes ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.name_utils import _generate_random_name

from runner import store
from runner.ab import manifest
from runner.store import made_run
from runner.store.made_run import find_run, is_generated
from runner.store.session_run import NAME_TAG
from tests.support.derive import typed
from tests.support.records import example_record

(AB,) = (Path(__file__).resolve().parents[3] / "experiments" / "records").glob("h200/ab-qwen2.5-7b-16384-*")
OURS = "h200 eager bf16 2048 qwen2.5-7b static #0"


def named(client: MlflowClient, name: str | None) -> str:
    """A run as `mlflow run --run-name` makes it: first without a name, which is set as a tag afterwards."""
    run_id = str(client.create_run("0").info.run_id)
    if name is not None:
        client.set_tag(run_id, "mlflow.runName", name)
    return run_id


@pytest.mark.parametrize("name", ["X", "my run", "llama-graph-7", "bold-crane", "Bold-Crane-417", "ab-crane-4x"])
def test_a_name_that_somebody_gave_is_not_taken_for_mlflows(name: str) -> None:
    assert not is_generated(name)


def test_the_names_that_mlflow_makes_up_are_known() -> None:
    names = [_generate_random_name() for _ in range(300)]
    assert [name for name in names if not is_generated(name)] == []
    assert is_generated(None)


@pytest.mark.medium
def test_a_session_keeps_the_name_of_its_run_and_has_ours_in_a_tag(any_uri: str) -> None:
    client = MlflowClient(any_uri)
    for number, (given, name) in enumerate((("X", "X"), (None, OURS))):
        run_id = store.commit(typed(example_record(session={"id": f"{number}{any_uri}"})), named(client, given))
        run = client.get_run(run_id)
        assert (run.info.run_name, run.data.tags[NAME_TAG]) == (name, OURS)
        assert run.data.tags["mlflow.runName"] == name


@pytest.mark.medium
def test_a_run_in_mlflows_default_experiment_is_told_once_how_to_be_beside_the_others(
    sqlite_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    client = MlflowClient(sqlite_uri)
    made_run._note_default_experiment.cache_clear()
    elsewhere = client.create_run(client.create_experiment("decode-floor")).info.run_id
    assert made_run.mlflow_run(client, elsewhere) is not None
    assert capsys.readouterr().err == ""
    for _ in range(2):
        assert made_run.mlflow_run(client, named(client, None)) is not None
    assert capsys.readouterr().err == (
        "note: this run is in MLflow's experiment Default, and those of `make cell` are in decode-floor: add "
        "--experiment-name decode-floor to `mlflow run`, or export MLFLOW_EXPERIMENT_NAME=decode-floor\n"
    )


@pytest.mark.medium
def test_an_ab_and_a_report_keep_the_name_too(sqlite_uri: str) -> None:
    client = MlflowClient(sqlite_uri)
    compared = manifest.read(AB / "ab.json")
    run = client.get_run(store.commit_comparison(compared, (1, 2), None, named(client, "X")))
    assert (run.info.run_name, run.data.tags["cell"]) == ("X", compared.title)
    run = client.get_run(store.commit_comparison(compared, (1, 2), None, named(client, None)))
    assert run.info.run_name == compared.title
    run_id = named(client, "X")
    store.claim_report(run_id, "floor")
    assert client.get_run(run_id).info.run_name == "X"


@pytest.mark.medium
def test_only_a_run_that_is_not_there_is_none(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_run(client, "0" * 32) is None

    def broken(_run_id: str) -> None:
        raise MlflowException("the database is locked")

    monkeypatch.setattr(client, "get_run", broken)
    with pytest.raises(MlflowException, match="locked"):
        find_run(client, "0" * 32)
