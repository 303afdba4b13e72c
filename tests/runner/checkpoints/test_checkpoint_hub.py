"""Weights from the hub: the real huggingface_hub against a server of ours, in the real command."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import yaml
from huggingface_hub.errors import LocalEntryNotFoundError

from runner.cell import catalogue
from runner.cell.catalogue import HubCheckpoint
from runner.checkpoints import checkpoint
from runner.errors import BadCheckpoint, DiskFull, Interrupted
from tests.fakes.hub import CDN, COMMIT, REPOSITORY, Hub, serving
from tests.support import checkpoints
from tests.support.processes import SMALL_CACHE

ROOT = Path(__file__).parents[3]
LARGE = [f"{CDN}model.safetensors"]
OTHERS = {"README.md": b"# hi", "consolidated.safetensors": b"twice", "pytorch_model.bin": b"\x80", "x.py": b"1/0"}
"""Files of a repository that are not to be downloaded."""
WITHOUT_WORKER = """
from runner.launch import local
local.LocalWorker.__init__.__defaults__ = (["false"],)
"""
"""The module that a Python runs at its start, with which a command measures nothing."""
Finished = subprocess.CompletedProcess[str]
Cell = Callable[..., Finished]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with serving(Hub({**contents(checkpoints.write(tmp_path / "repository")), **OTHERS})) as served:
        yield served


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def cell(tmp_path: Path, hub: Hub) -> Cell:
    """A function that runs the command over the hub's weights, as a user without any setting of the hub."""

    def run(
        revision: str | None = COMMIT, repository: str = REPOSITORY, quant: str = "bf16", **settings: str
    ) -> Finished:
        write_catalogue(tmp_path / "experiments", repository, revision, quant)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        given = {
            "PYTHONPATH": SMALL_CACHE,
            "DECODE_FLOOR_EXPERIMENTS": str(tmp_path / "experiments"),
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "cache"),
            "NO_PROXY": "127.0.0.1,localhost",
        }
        options = ["--gpu", "cpu", "--model", "tiny", "--ctx", "32", "--weights", "hub", "--quant", quant]
        return subprocess.run(
            [sys.executable, "-m", "runner", "cell", *options, "--spool", str(tmp_path / "spool")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            env={**clean, **given, **settings},
        )

    return run


def write_catalogue(folder: Path, repository: str, revision: str | None, quant: str) -> None:
    """The committed catalogue, with weights of `tiny` on our hub."""
    folder.mkdir(exist_ok=True)
    shutil.copy(catalogue.folder() / "gpus.yaml", folder)
    models = yaml.safe_load((catalogue.folder() / "models.yaml").read_text())
    models["tiny"]["checkpoints"] = {quant: {"hub": repository, "revision": revision}}
    (folder / "models.yaml").write_text(yaml.safe_dump(models))


def measured(finished: Finished, spool: Path) -> dict[str, Any]:
    return session(finished, spool, (0, 23))  # zeros are weights that the gate need not believe


def session(finished: Finished, spool: Path, codes: tuple[int, ...]) -> dict[str, Any]:
    assert finished.returncode in codes, finished.stderr
    (path,) = spool.glob("*.json")
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def refusal(finished: Finished) -> str:
    """The one line of the error."""
    assert finished.returncode == BadCheckpoint.exit_code, finished.stderr
    assert "Traceback" not in finished.stderr
    (line,) = [line for line in finished.stderr.splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


@pytest.mark.slow
def test_an_unpinned_one_is_resolved_to_its_commit_and_flagged_and_then_measured_offline_by_its_commit(
    hub: Hub, cell: Cell, tmp_path: Path
) -> None:
    hub.files["config.json"] = json.dumps({**checkpoints.CONFIG, "torch_dtype": "float32"}).encode()
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_WORKER)
    record = session(cell(revision=None, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}"), tmp_path / "spool", (19,))
    assert record["cell"]["weights_id"] == COMMIT
    assert record["given_flags"] == ["converted", "unpinned"]
    hub.asked.clear()
    shutil.rmtree(tmp_path / "spool")
    # programs that fetch single files leave no list of the repository's files in the cache
    shutil.rmtree(tmp_path / "cache" / "hub" / "models--org--tiny" / "trees")
    record = measured(cell(HF_HUB_OFFLINE="1"), tmp_path / "spool")
    assert record["given_flags"] == ["converted"]
    assert hub.asked == []


@pytest.mark.medium
def test_a_token_is_sent(hub: Hub, cell: Cell) -> None:
    hub.token = "hf_right"
    hub.files["config.json"] = b"{}"  # what comes after the token is not this test's
    assert "another model in config.json" in refusal(cell(HF_TOKEN="hf_right"))
    assert {authorization for _, path, authorization in hub.asked if "tiny" in path} == {"Bearer hf_right"}


GATED = (
    f"{REPOSITORY} is gated: accept its terms on its page on the hub, and set that account's HF_TOKEN, or give a "
    "local folder with weights=PATH (GatedRepoError: "
)


@pytest.mark.medium
@pytest.mark.parametrize("revision", [COMMIT, None])
def test_a_gated_model_without_a_token(hub: Hub, cell: Cell, revision: str | None) -> None:
    hub.token = "hf_right"
    line = refusal(cell(revision))
    assert line.startswith(GATED)
    assert "401" in line


@pytest.mark.medium
def test_a_gated_model_for_an_account_that_was_not_let_in(hub: Hub, cell: Cell) -> None:
    hub.token, hub.granted = "hf_right", False
    line = refusal(cell(HF_TOKEN="hf_right"))
    assert line.startswith(GATED)
    assert "403" in line
    assert "hf_right" not in line


@pytest.mark.medium
@pytest.mark.parametrize("token", [None, "hf_any"])
@pytest.mark.parametrize("revision", [COMMIT, None])
def test_a_missing_repository(cell: Cell, token: str | None, revision: str | None) -> None:
    line = refusal(cell(revision, "org/nothing", **({"HF_TOKEN": token} if token else {})))
    assert line.startswith("org/nothing is not on the hub, or private: check its name in models.yaml, or HF_TOKEN")


@pytest.mark.medium
def test_a_name_that_no_repository_can_have(cell: Cell) -> None:
    assert refusal(cell(repository="a/b/c")).startswith("a/b/c is not a repository name: correct it in models.yaml")


@pytest.mark.medium
def test_a_missing_revision(cell: Cell) -> None:
    line = refusal(cell(40 * "1"))
    assert line.startswith(f"{REPOSITORY} has no revision {40 * '1'} on the hub: correct it in models.yaml")


@pytest.mark.medium
def test_offline_with_an_empty_cache(hub: Hub, cell: Cell) -> None:
    for revision in (COMMIT, None):
        line = refusal(cell(revision, HF_HUB_OFFLINE="1"))
        assert line.startswith(f"{REPOSITORY} is incomplete in the cache: unset HF_HUB_OFFLINE to download it, or give")
    assert hub.asked == []


@pytest.mark.medium
def test_offline_with_half_a_cache(hub: Hub, cell: Cell) -> None:
    weights = hub.files.pop("model.safetensors")
    assert f"{REPOSITORY}: neither model.safetensors nor" in refusal(cell())
    hub.files["model.safetensors"] = weights
    assert f"{REPOSITORY}: neither model.safetensors nor" in refusal(cell(HF_HUB_OFFLINE="1"))


@pytest.mark.slow
def test_quantised_weights_of_a_pinned_revision_are_downloaded_once_as_they_are(
    hub: Hub, cell: Cell, tmp_path: Path
) -> None:
    hub.files = {**contents(ROOT / "tests" / "written" / "bnb-nf4"), **OTHERS}
    finished = cell(quant="bnb-nf4")
    assert finished.returncode == 0, finished.stderr
    found = measured(finished, tmp_path / "spool")
    assert found["valid"]
    assert found["model"]["scheme"] == {"group_size": 64, "sym": False, "desc_act": False, "double_quant": True}
    assert (found["cell"]["weights_id"], found["cell"]["options"]) == (COMMIT, {})
    assert "unpinned" not in found["flags"]
    fetched = [path for path in hub.paths() if "/resolve/" in path or path.startswith(CDN)]
    assert {path.rpartition("/")[2] for path in fetched} == {"config.json", "model.safetensors"}
    assert all(f"/resolve/{COMMIT}/" in path for path in fetched if "/resolve/" in path)
    assert hub.paths().count(LARGE[0]) == 1


@pytest.mark.medium
def test_unquantised_weights_are_not_taken_for_quantised_ones(cell: Cell) -> None:
    assert "its weights are not quantised (config.json has no quantization_config)" in refusal(cell(quant="bnb-nf4"))


@pytest.mark.medium
@pytest.mark.parametrize("revision", [COMMIT, None])
def test_no_network(cell: Cell, revision: str | None) -> None:
    line = refusal(cell(revision, HF_ENDPOINT="http://127.0.0.1:9"))
    assert line.startswith(f"{REPOSITORY} is incomplete in the cache and the hub does not answer: check the network")
    assert "refused" in line


@pytest.mark.medium
def test_a_hub_out_of_order(hub: Hub, cell: Cell) -> None:
    hub.status = 500
    assert refusal(cell()).startswith(f"{REPOSITORY} cannot be fetched, the hub refused: try again later")


@pytest.mark.medium
def test_wrong_weights_are_refused_before_the_worker_starts(hub: Hub, cell: Cell, tmp_path: Path) -> None:
    tensors = checkpoints.tensors()
    del tensors["model.norm.weight"]
    hub.files["model.safetensors"] = checkpoints.safetensors(tensors)
    said = f"{REPOSITORY}: 1 tensor missing (model.norm.weight): use a complete checkpoint of this model in this quant"
    assert refusal(cell()) == said
    assert not list((tmp_path / "spool").glob("*.json"))


@pytest.mark.medium
def test_a_wrong_config_is_refused_before_the_weights_are_downloaded(hub: Hub, cell: Cell) -> None:
    hub.files["config.json"] = json.dumps({**checkpoints.CONFIG, "hidden_act": "gelu"}).encode()
    assert refusal(cell()).startswith(f"{REPOSITORY}: another model in config.json: hidden_act is gelu, expected silu")
    assert LARGE[0] not in hub.paths()


@pytest.mark.parametrize(
    ("error", "kind"),
    [(Interrupted("stopped by Ctrl-C"), Interrupted), (OSError(errno.ENOSPC, "No space left on device"), DiskFull)],
)
def test_what_stops_a_download_stays_what_it_is(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
) -> None:
    def stop(*_: object, local_files_only: bool, **__: object) -> str:
        raise LocalEntryNotFoundError("not here") if local_files_only else error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", stop)
    with pytest.raises(kind):
        checkpoint.on_hub(HubCheckpoint(REPOSITORY, COMMIT), checkpoints.SHAPE, "bf16")
