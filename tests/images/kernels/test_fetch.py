"""A file is written only if its hash is the expected one; the download is real, from a file of this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

from images.kernels import fetch

CONTENT = b"a compiler"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_a_file_of_the_expected_hash_is_written(tmp_path: Path) -> None:
    (tmp_path / "remote").write_bytes(CONTENT)
    assert fetch.main((tmp_path / "remote").as_uri(), SHA256, str(tmp_path / "local")) is None
    assert (tmp_path / "local").read_bytes() == CONTENT


def test_a_file_of_another_hash_is_told_with_both_and_not_written(tmp_path: Path) -> None:
    (tmp_path / "remote").write_bytes(b"another")
    url = (tmp_path / "remote").as_uri()
    actual = hashlib.sha256(b"another").hexdigest()
    assert fetch.main(url, SHA256, str(tmp_path / "local")) == f"{url} has sha256 {actual}, not {SHA256}"
    assert not (tmp_path / "local").exists()
