"""A session compiles anew, in a folder that goes with its job, unless its cell asks for the folder that is kept."""

import os
from dataclasses import replace

import pytest

from runner.errors import BadValue
from runner.runtimes import _compilecache


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path):
    """Variables of the caller's own, which a session must not take for its folder, and a place for what is kept."""
    for name in (_compilecache.INDUCTOR_VARIABLE, _compilecache.TRITON_VARIABLE):
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))


def asking(job, **options):
    return replace(job, cell=replace(job.cell, options=options))


def folders():
    return os.environ["TORCHINDUCTOR_CACHE_DIR"], os.environ["TRITON_CACHE_DIR"]


def test_a_cold_cache_lies_beside_the_job_and_is_not_there_yet(tiny_job, tmp_path):
    _compilecache.use(tiny_job, tmp_path / "job")
    own = tmp_path / "job" / "compile-cache"
    assert folders() == (str(own), str(own / "triton"))
    assert _compilecache.count_files() == 0
    assert not (tmp_path / "caches").exists()


def test_a_warm_cache_is_the_one_that_is_kept(tiny_job, tmp_path):
    job = asking(tiny_job, **{"compile-cache": "warm"})
    assert _compilecache.is_warm(job)
    assert not _compilecache.is_warm(tiny_job)
    _compilecache.use(job, tmp_path / "job")
    kept = tmp_path / "caches" / "decode-floor" / "compile-cache"
    assert folders() == (str(kept), str(kept / "triton"))
    (kept / "triton" / "deep").mkdir(parents=True)
    for name in ("graph.py", "triton/kernel.cubin", "triton/deep/kernel.json"):
        (kept / name).touch()
    assert _compilecache.count_files() == 3


def test_a_kept_folder_that_cannot_be_written_is_an_error_not_a_cold_cache(monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr(_compilecache.tempfile, "TemporaryFile", refuse)
    with pytest.raises(BadValue, match=r"cannot be written \(Permission denied\): set XDG_CACHE_HOME"):
        _compilecache.warm_folder()


def test_no_home_is_an_error(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda _: "~")
    with pytest.raises(BadValue, match="you have no home folder"):
        _compilecache.cache_home()
