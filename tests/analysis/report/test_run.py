"""A report by the command goes through a real store and MLflow's entry point: its run, its files and its tags."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner import store
from runner.store.report import REPORT_TAG
from tests.support import commands
from tests.support.records import example_record
from tests.support.reports import every_kind, write_records

ROOT = Path(__file__).parents[3]
DRAWN = ["budget.svg", "choose.svg", "floor-bandwidth.svg", "latency.svg", "quant.svg"]

FILES = [*DRAWN, "report.html", "sessions.csv", "tables.md"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """An SQLite store with sessions of every kind; to be copied, never used."""
    folder = tmp_path_factory.mktemp("filled")
    records = write_records(folder / "records", every_kind())
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patched.chdir(folder)
        assert store.import_folder(records).refused == ()
    return folder


@pytest.fixture
def folder(tmp_path, filled):
    shutil.copy(filled / "mlflow.db", tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def client(folder):
    return MlflowClient(f"sqlite:///{folder}/mlflow.db")


def command(folder, *arguments, **environment):
    """From another working directory than the project's. MLflow keeps a store open by its URI, so that is whole."""
    own = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "XDG_CACHE_HOME": str(folder / "cache")}
    return commands.command(*arguments, folder=folder, **own, **environment)


def by_process(folder, *arguments):
    """The same in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "analysis", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def all_runs(client):
    experiments = [each.experiment_id for each in client.search_experiments()]
    return client.search_runs(experiments, order_by=["attributes.start_time"])


def reports(client):
    return [run for run in all_runs(client) if REPORT_TAG in run.data.tags]


def files_of(client, run):
    return [each.path for each in client.list_artifacts(run.info.run_id)]


@pytest.mark.slow
def test_each_report_is_a_run_with_the_files_of_the_folder_and_names_the_sessions_runs(folder, client):
    for count, call in enumerate((command, by_process), 1):
        done = call(folder, "report")
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{folder}/report/report.html\n"
        assert "not sessions of this project" not in done.stderr
        assert len(reports(client)) == count
    run = reports(client)[-1]
    assert f"MLflow run report ({run.info.run_id})" in done.stderr
    assert (run.info.run_name, run.info.status, run.data.tags[REPORT_TAG]) == ("report", "FINISHED", "report")
    assert "session" not in run.data.tags
    note = run.data.tags["mlflow.note.content"]
    assert "**Which quantisation pays?** (against the fastest unquantised runtime on the same hosts)\n\n" in note
    assert "- h200: 2.00×: gptq exllamav2 eager" in note
    assert files_of(client, run) == FILES
    for name in files_of(client, run):
        kept = Path(client.download_artifacts(run.info.run_id, name, str(folder)))
        assert kept.read_bytes() == (folder / "report" / name).read_bytes()
    html = (folder / "report" / "report.html").read_text()
    experiments = [each.experiment_id for each in client.search_experiments()]
    sessions = client.search_runs(experiments, "tags.session LIKE '0000%'")
    assert len(sessions) == len(list(every_kind()))
    lines = (folder / "report" / "sessions.csv").read_text()
    for session in sessions:
        assert f"{session.data.tags['session']} {session.info.run_id}" in html
        assert f",{session.data.tags['session']},{session.info.run_id},," in lines


@pytest.mark.slow
def test_of_records_it_makes_no_run_and_needs_no_store(tmp_path):
    records = write_records(tmp_path / "records", [example_record()])
    done = by_process(tmp_path, "report", "--records", str(records))
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "mlflow.db").exists()
    assert (tmp_path / "report" / "report.html").exists()


@pytest.mark.slow
def test_the_run_that_mlflow_made_is_the_reports(folder, client):
    run_id = client.create_run("0").info.run_id
    done = command(folder, "report", MLFLOW_RUN_ID=run_id)
    assert done.returncode == 0, done.stderr
    assert "not sessions of this project" not in (folder / "report" / "report.html").read_text()
    (run,) = reports(client)
    assert (run.info.run_id, run.info.status, run.info.run_name) == (run_id, "FINISHED", "report")
    assert "report.html" in files_of(client, run)
    assert list(folder.glob("spool/.runs/*")) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "reason", "exit_code"),
    [
        (("tables", "--table", "flor"), "unknown-name", "10"),
        (("report", "--out", "/proc/nowhere"), "bad-value", "11"),
    ],
)
def test_a_report_that_fails_closes_its_run_with_the_reason(folder, client, arguments, reason, exit_code):
    run_id = client.create_run("0").info.run_id
    done = command(folder, *arguments, MLFLOW_RUN_ID=run_id)
    assert done.returncode == int(exit_code)
    assert done.stderr.splitlines()[-1].startswith("error: ")  # after a note: the copied store left its artifacts
    run = client.get_run(run_id)
    assert run.info.status == "FAILED"
    assert (run.data.tags["reason"], run.data.tags["exit_code"]) == (reason, exit_code)
    assert done.stderr.splitlines()[-1] == f"error: {run.data.tags['message']}"
    assert REPORT_TAG in run.data.tags


@pytest.mark.slow
def test_what_is_damaged_stands_in_the_page_and_in_the_exit_code(tmp_path):
    records = write_records(tmp_path / "records", [example_record(), example_record(cell={"ctx": 4096})])
    found = json.loads((records / "1.json").read_text())
    found["latency"]["step_wall_ms"] /= 2
    (records / "1.json").write_text(json.dumps(found))
    done = command(tmp_path, "report", "--records", str(records))
    assert done.returncode == 24
    assert "Left out because of a fault" in (tmp_path / "report" / "report.html").read_text()


@pytest.fixture
def project(folder):
    """A copy of the project over the store."""
    for name in ("runner", "analysis"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "experiments", folder / "experiments", ignore=shutil.ignore_patterns("records"))
    for name in ("MLproject", "python_env.yaml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def mlflow_run(project, *parameters, entry="tables"):
    arguments = [part for parameter in parameters for part in ("-P", parameter)]
    return subprocess.run(
        [sys.executable, "-m", "mlflow", "run", ".", "-e", entry, "--env-manager", "local", *arguments],
        cwd=project,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MLFLOW_TRACKING_URI": f"sqlite:///{project}/mlflow.db",
            "XDG_CACHE_HOME": str(project / "cache"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.mark.whole
@pytest.mark.slow
def test_mlflow_run_makes_the_report_prints_a_table_and_fails_with_the_reason(project, client):
    done = mlflow_run(project)
    assert done.returncode == 0, done.stdout
    assert f"{project}/report/report.html\n" in done.stdout
    done = mlflow_run(project, "table=floor", "format=json", "gpu=cpu")
    assert done.returncode == 0, done.stdout
    assert '"gpu": "cpu"' in done.stdout
    assert '"gpu": "h200"' not in done.stdout
    done = mlflow_run(project, "gpu=l4")
    assert done.returncode != 0
    assert "error: no session in" in done.stdout
    made, table, failed = reports(client)
    assert [run.info.status for run in (made, table, failed)] == ["FINISHED", "FINISHED", "FAILED"]
    assert files_of(client, made) == FILES
    assert (table.info.run_name, files_of(client, table)) == ("floor", ["floor.json"])
    kept = Path(client.download_artifacts(table.info.run_id, "floor.json", str(project)))
    assert [row["gpu"] for row in json.loads(kept.read_text())] == ["cpu"]
    assert (failed.data.tags["reason"], failed.data.tags["exit_code"]) == ("bad-value", "11")
    assert list(project.glob("spool/.runs/*")) == []


@pytest.mark.whole
@pytest.mark.slow
def test_mlflow_run_chooses_and_fails_with_a_code_of_its_own_if_nothing_meets_the_deadline(project, client):
    done = mlflow_run(project, "model=qwen2.5-7b", "deadline_ms=50", "ctx=2048", "format=json", entry="choose")
    assert done.returncode == 0, done.stdout
    given = {"gpu": "h200,l4", "price": "h200=3.6,l4=0.35", "deadline_ms": "1.5", "prefill": "on", "format": "csv"}
    late = mlflow_run(project, *(f"{name}={value}" for name, value in given.items()), entry="choose")
    unknown = mlflow_run(project, "gpu=h200", "miss=0.001", entry="choose")
    assert "error: no row meets 1.5 ms: the nearest, h200 " in late.stdout
    assert "error: no row is known to meet 50 ms, missed with a probability" in unknown.stdout
    runs = reports(client)
    assert [run.info.status for run in runs] == ["FINISHED", "FAILED", "FAILED"]
    codes = [(run.data.tags.get("reason"), run.data.tags.get("exit_code")) for run in runs[1:]]
    assert codes == [("deadline-missed", "28"), ("no-evidence", "29")]
    assert [files_of(client, run) for run in runs] == [["choose.json"], ["choose.csv"], ["choose.md"]]
    kept = Path(client.download_artifacts(runs[0].info.run_id, "choose.json", str(project)))
    rows = json.loads(kept.read_text())
    assert {row["basis"] for row in rows} == {"measured here", "published (paper)", "predicted"}
    assert {(row["model"], row["ctx"], row["deadline_ms"]) for row in rows} == {("qwen2.5-7b", 2048, 50.0)}
    assert "| h200 | " in runs[0].data.tags["mlflow.note.content"]


@pytest.mark.whole
@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry", "parameter", "option"),
    [("choose", "deadline=50", "--deadline"), ("ab", "sesions=2", "--sesions"), ("tables", "gpus=h200", "--gpus")],
)
def test_a_parameter_that_no_entry_has_ends_it_before_anything_is_done(project, client, entry, parameter, option):
    """MLflow puts it behind the command, wherever that ends."""
    before = {run.info.run_id for run in all_runs(client)}
    done = mlflow_run(project, "model=tiny", parameter, entry=entry)
    assert done.returncode != 0
    assert f"unknown option '{option}'" in done.stdout
    assert not list(project.glob("spool/**/*.json"))
    (run,) = [run for run in all_runs(client) if run.info.run_id not in before]
    assert run.info.status == "FAILED"
    assert (run.data.tags["reason"], run.data.tags["exit_code"]) == ("usage", "2")
    assert str(project) not in "".join(map(str, run.data.tags.values()))
    assert list(project.glob("spool/.runs/*")) == []
