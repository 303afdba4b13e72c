"""Nothing that is published names a folder of weights: every file and every row after sessions over local ones."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runner import arguments
from runner.ab import manifest
from runner.commands import measuring
from runner.errors import BadValue
from runner.plan.request import weights_folder
from runner.redaction import privatepaths
from tests.support.processes import SMALL_CACHE

PRIVATE = "acme-secret-tune"
TINY = ("--gpu", "cpu", "--model", "tiny", "--ctx", "32")


@pytest.fixture(scope="module")
def fine_tunes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with two fine-tunes of one layout: only the values of a norm differ."""
    torch = pytest.importorskip("torch")
    from runner.cell import catalogue
    from runner.worker import model

    home = tmp_path_factory.mktemp("home")
    shape = catalogue.models()["tiny"].shape
    built = model.build_synthetic(model.Build(shape, "bf16", None, torch.bfloat16, torch.device("cpu")))
    for name in ("one", "two"):
        built.save_pretrained(home / f"{PRIVATE}-{name}")
        with torch.no_grad():
            built.model.norm.weight.mul_(1.5)
    return home


@pytest.fixture
def place(tmp_path: Path, empty_sqlite: Path) -> Path:
    shutil.copy(empty_sqlite, tmp_path / "mlflow.db")
    return tmp_path


def run(place: Path, home: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    own = {
        "PYTHONPATH": SMALL_CACHE,
        "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db",
        "HOME": str(home),
        **variables,
    }
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=place,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def naming(place: Path) -> list[str]:
    """Every file below, by name or content, and every value of the store in which the private name stands."""
    files = [path for path in place.rglob("*") if PRIVATE in path.name or PRIVATE in _text(path)]
    return [*map(str, files), *(row for row in _rows(place / "mlflow.db") if PRIVATE in row)]


def _text(path: Path) -> str:
    return path.read_bytes().decode("latin-1") if path.is_file() else ""


def _rows(database: Path) -> Iterator[str]:
    with sqlite3.connect(database) as link:
        for (table,) in link.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            yield from (f"{table}: {row}" for row in link.execute(f"SELECT * FROM {table}").fetchall())


@pytest.mark.whole
@pytest.mark.slow
def test_an_ab_over_two_fine_tunes_names_them_by_what_is_in_them(place: Path, fine_tunes: Path) -> None:
    """One folder is given by `~`, the other by a relative path with a link in it."""
    (place.parent / f"{place.name}-link").symlink_to(fine_tunes)
    other = f"../{place.name}-link/{PRIVATE}-two/"
    ab = ("runner", "ab", *TINY, "--field", "weights", "--a", f"~/{PRIVATE}-one", "--b", other)
    finished = run(place, fine_tunes, *ab, "--sessions", "1")
    assert finished.returncode == 0, finished.stderr
    (folder,) = (place / "spool").glob("ab-tiny-32-*")
    found = manifest.read(folder / "ab.json")
    assert all(arm.value == arm.cell.weights_id and arm.value.startswith("content-") for arm in found.arms.values())
    assert found.title.startswith(f"{found.arms['a'].value[8:16]}/{found.arms['b'].value[8:16]} tiny 32 ")

    one, two = (str(fine_tunes / f"{PRIVATE}-{name}") for name in ("one", "two"))
    typed = ("runner", "ab", *TINY, "--field", "weights", "--a", one, "--b", "env:OTHER", "--sessions", "1")
    again = run(place, fine_tunes, *typed, OTHER=two)
    assert (again.returncode, "left, about" in again.stdout) == (0, False), again.stderr  # goes on: nothing is left
    compared = run(place, fine_tunes, "analysis", "ab", "spool", "--commit")
    assert compared.returncode == 0, compared.stderr
    assert len(list((place / "spool").rglob("tiny-*.json"))) == 2
    assert naming(place) == []


@pytest.mark.slow
def test_a_run_of_mlflows_that_fails_over_a_bad_folder_does_not_say_which(place: Path, fine_tunes: Path) -> None:
    from mlflow import MlflowClient

    broken = fine_tunes / f"{PRIVATE}-broken"
    shutil.copytree(fine_tunes / f"{PRIVATE}-one", broken, dirs_exist_ok=True)
    (broken / "model.safetensors").write_bytes(b"")
    client = MlflowClient(f"sqlite:///{place}/mlflow.db")
    tags = {"mlflow.source.name": str(place / PRIVATE), "mlflow.source.git.repoURL": f"file://{place}/{PRIVATE}"}
    made = client.create_run("0", tags=tags)
    finished = run(
        place, fine_tunes, "runner", "cell", *TINY, "--weights", f"~/{PRIVATE}-broken", MLFLOW_RUN_ID=made.info.run_id
    )
    assert finished.returncode == 16
    assert f"error: weights=~/{PRIVATE}-broken: model.safetensors is " in finished.stderr
    assert f"warning: MLflow has logged the parameter weights=~/{PRIVATE}-broken, which every user" in finished.stderr
    found = client.get_run(made.info.run_id).data.tags
    assert found["message"].startswith("weights=<weights>: model.safetensors is ")
    assert (found["mlflow.source.name"], found["mlflow.source.git.repoURL"]) == ("decode-floor", "decode-floor")
    with sqlite3.connect(place / "mlflow.db") as link:
        link.execute("VACUUM")  # what a changed tag was before is still in the file's free pages
    assert naming(place) == []


@pytest.mark.parametrize("typed", ["env:/data/acme/tune", "env:$ACME_TUNE", "env:acme-tune"])
def test_a_path_behind_env_is_not_repeated(typed: str) -> None:
    with pytest.raises(BadValue) as refused:
        weights_folder(typed)
    assert "acme" not in str(refused.value).lower()
    assert "export W=/path/to/weights" in str(refused.value)


def test_a_path_behind_env_is_hidden_and_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    typed = "env:/data/acme/tune"
    measuring._warn_of_paths(cast("Any", SimpleNamespace()), {"weights": typed})
    assert "MLflow has logged the parameter weights=env:/data/acme/tune" in capsys.readouterr().err
    hidden = arguments.private(["cell", "--weights", typed])
    assert privatepaths.without("cannot open '/data/acme/tune/config.json'", hidden) == (
        f"cannot open '{privatepaths.WEIGHTS}/config.json'"
    )
