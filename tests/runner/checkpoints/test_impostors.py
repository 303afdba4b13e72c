"""Files under a checkpoint's names that are none: what they are is said, and which command fetches the real ones."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from runner.checkpoints import checkpoint, impostors, quantisation
from runner.errors import BadCheckpoint
from tests.support import checkpoints
from tests.support.checkpoints import SHAPE

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 269060552\n"
)
S3 = b"<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>AccessDenied</Code></Error>"
GATED = b"Access to model meta-llama/Llama-3.1-8B is restricted. You must have access to it and be authenticated."


def zipped() -> bytes:
    text = io.BytesIO()
    with zipfile.ZipFile(text, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 100)
    return text.getvalue()


CASES = [
    (POINTER, "is a pointer of Git LFS, not the file itself: run `git lfs pull` in its folder"),
    (POINTER.replace(b"\n", b"\r\n"), "is a pointer of Git LFS"),
    (
        b"/annex/objects/SHA256E-s269060552--4d7a21.safetensors\n",
        "is a pointer of git-annex, not the file itself: run",
    ),
    (
        b"<!DOCTYPE html>\n<html class=''>",
        "is a web page, not the file itself: fetch the real one",
    ),
    (b"\n\n  <html><head><title>Sign in", "is a web page"),
    (b"\xef\xbb\xbf<!doctype HTML>", "is a web page"),
    (b'{"error":"Repository not found"}', "is a server's error in JSON"),
    (b'{"success": false, "message": "no"}', "is a server's error in JSON"),
    (S3, "is a server's error in XML"),
    (b"Entry not found", "is a server's error (file not found)"),
    (b"404: Not Found", "is a server's error (file not found)"),
    (GATED, "is a server's refusal, not the file itself: accept the terms on the repository's page, `hf auth login`"),
    (b"Invalid username or password.", "is a server's refusal"),
    (b"Unauthorized", "is a server's refusal"),
    (b"HTTP/1.1 403 Forbidden\r\nServer: x\r\n\r\n", "is a server's refusal"),
    (b"HTTP/2 404 \r\n", "is a server's error (file not found)"),
    (b"Too Many Requests", "is a server's error (too many requests), not the file itself: wait a while, and"),
    (b"429 Client Error", "is a server's error (too many requests)"),
    (b"Internal Server Error", "is a server's error, not the file itself: wait a while, and fetch the real one"),
    (b"502 Bad Gateway", "is a server's error"),
    (b"upstream connect error or disconnect/reset before headers", "is a server's error"),
    (b"# xet version 0\nfilesize = 269060552\nhash = '4d7a'\n", "is a pointer of Xet, not the file itself: fetch"),
    (b"outs:\n- md5: 4d7a\n  size: 9\n  path: model.safetensors\n", "is a pointer of DVC, not the file itself: run"),
    ("<!DOCTYPE html><html>".encode("utf-16"), "is a web page"),
    ("Entry not found".encode("utf-16"), "is a server's error (file not found)"),
    (b"Sorry, no.\n", "is text ('Sorry, no.'), not the file itself: fetch the real one"),
    ("Zugriff verweigert: é".encode() * 300, "is text ('Zugriff verweigert:"),
    (b"", "is empty, not the file itself: the download did not end: fetch the real one"),
    (bytes(100_000), "is zeros, not the file itself: the download did not end"),
    (gzip.compress(b"{}"), "is a gzip archive, not the file itself: unpack it, or fetch"),
    (zipped(), "is a ZIP archive, as torch.save writes them, not the file itself: pickled weights are never loaded"),
    (pickle.dumps({"a": 1}, 2), "is a pickle, not the file itself: pickled weights are never loaded"),
    (pickle.dumps({"a": 1}, 4), "is a pickle"),
    (b"GGUF\x03\x00\x00\x00", "is a GGUF file, not the file itself: convert it to safetensors"),
]


def refusal(folder: Path) -> str:
    with pytest.raises(BadCheckpoint) as caught:
        checkpoint.local(str(folder), SHAPE, "bf16")
    text = str(caught.value)
    assert text.startswith(f"weights={folder}: ")
    assert "\n" not in text
    return text.removeprefix(f"weights={folder}: ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (POINTER, "is a pointer of Git LFS, not the file itself: run `git lfs pull` in its folder"),
        (b"", "is empty, not the file itself: the download did not end"),
        (b"<!DOCTYPE html>", "is a web page"),
        (b"[" * 200_000, "cannot be read (brackets nested too deeply): fetch it again"),
    ],
)
@pytest.mark.parametrize("name", quantisation.BESIDE)
def test_so_it_is_of_the_file_that_says_how_it_is_packed(folder: Path, name: str, content: bytes, said: str) -> None:
    name_of_a_linear = "model.layers.0.self_attn.q_proj.qweight"
    tensors = checkpoints.tensors() | {name_of_a_linear: ("I32", (16, 128))}
    (folder / "model.safetensors").write_bytes(checkpoints.safetensors(tensors))
    (folder / name).write_bytes(content)
    assert refusal(folder).startswith(f"{name} {said}")


@pytest.mark.parametrize("name", ["model.safetensors", "model-2-of-2.safetensors", "config.json", "index"])
@pytest.mark.parametrize(("content", "said"), CASES, ids=range(len(CASES)))
def test_it_is_said_what_the_file_is(folder: Path, name: str, content: bytes, said: str) -> None:
    if name in ("model-2-of-2.safetensors", "index"):
        checkpoints.shard(folder)
    name = name.replace("index", "model.safetensors.index.json")
    assert (folder / name).exists()
    (folder / name).write_bytes(content)
    assert refusal(folder).startswith(f"{name} {said}")


def test_real_files_are_never_asked_about(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impostors, "description", lambda file: pytest.fail(f"{file} is right"))
    checkpoint.local(str(folder), SHAPE, "bf16")


def test_a_damaged_file_of_its_kind_keeps_its_own_words(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x07\x00\x00\x00\x00\x00\x00\x00{broken")
    assert refusal(folder).startswith("model.safetensors: its header is damaged")
    (folder / "config.json").write_text("{")
    assert refusal(folder).startswith("config.json cannot be read (")


@pytest.mark.parametrize("name", ["model.safetensors", "model-1-of-2.safetensors", "config.json", "index"])
@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            ".git/annex/objects/xW/4k/SHA256E-s9--4d7a",
            "is a link of git-annex, and its content is not here: run",
        ),
        ("../../blobs/4d7a2146", "is a link to a file that is not there: the download did not end: fetch the real one"),
    ],
)
def test_so_are_links_that_lead_nowhere(folder: Path, name: str, target: str, said: str) -> None:
    if name in ("model-1-of-2.safetensors", "index"):
        checkpoints.shard(folder)
    name = name.replace("index", "model.safetensors.index.json")
    (folder / name).unlink()
    (folder / name).symlink_to(target)
    assert refusal(folder).startswith(f"{name} {said}")


@pytest.mark.parametrize("place", [".", ".cache/huggingface/download"])
@pytest.mark.parametrize("lost", ["model.safetensors", "model-2-of-2.safetensors", "config.json"])
def test_an_unfinished_download_beside_a_missing_file_is_named(folder: Path, place: str, lost: str) -> None:
    if "-of-" in lost:
        checkpoints.shard(folder)
    (folder / lost).unlink()
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / place / "kXq9.4d7a2146.incomplete").touch()
    assert refusal(folder).endswith(" (kXq9.4d7a2146.incomplete is there, an unfinished download)")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_pointer_as_git_itself_checks_it_out_without_lfs(folder: Path, tmp_path: Path) -> None:
    """A clone where Git LFS is not installed leaves what was committed: the pointer."""
    (folder / "model.safetensors").write_bytes(POINTER)
    for command in (("init", "-q"), ("add", "."), ("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x")):
        subprocess.run(["git", *command], cwd=folder, check=True)
    subprocess.run(["git", "clone", "-q", str(folder), str(tmp_path / "clone")], check=True)
    assert "run `git lfs pull` in its folder" in refusal(tmp_path / "clone")


def test_an_error_that_is_json_is_no_other_model(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"error": "Invalid credentials"}))
    assert "another model" not in refusal(folder)
