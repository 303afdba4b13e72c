"""Packages of locks: read, fetched by pip by hash, unpacked without what does not belong on the module path."""

from __future__ import annotations

from pathlib import Path

import pytest

from images.bundle import packages
from images.bundle.errors import Wrong
from tests.support.bundles import wheel


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("ERROR: No matching distribution found for torch==2.13.0+cpu\n", "No wheel of torch==2.13.0+cpu for CPython"),
        ("ERROR: OSError [Errno 28] No space left on device\n", "No space left on device while wheels are fetched"),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n    click==8.5.1 from x:\n",
            "The wheel of click==8.5.1 for CPython 3.12 has none of the hashes of its lock",
        ),
    ],
)
def test_pips_failures_are_one_line(said: str, line: str) -> None:
    assert packages._reason(said, "3.12").startswith(line)


def test_a_wheel_that_would_write_elsewhere_is_refused(tmp_path: Path) -> None:
    bad = wheel(tmp_path, "bad-1", {"../outside.py": b""})
    with pytest.raises(Wrong, match=r"bad-1-py3-none-any.whl has the file ../outside.py"):
        packages.unpack(bad, tmp_path / "site")


LOCK = """# made by a command
Some_Package==1.0 \\
    --hash=sha256:{own}
    # via
    #   -r x.in
other==2.0 \\
    --hash=sha256:{other}
"""


def lock(file: Path, own: str = "0" * 64, other: str = "1" * 64) -> Path:
    file.write_text(LOCK.format(own=own, other=other))
    return file


def test_pins_are_by_normalised_name_with_their_hashes_and_the_first_lock_counts(tmp_path: Path) -> None:
    (tmp_path / "second.txt").write_text("some-package==9.9 \\\n    --hash=sha256:2\nthird==3.0\n")
    pins = packages.pins([lock(tmp_path / "first.txt"), tmp_path / "second.txt"])
    assert {name: pin.version for name, pin in pins.items()} == {"some-package": "1.0", "other": "2.0", "third": "3.0"}
    assert f"--hash=sha256:{'0' * 64}" in pins["some-package"].text
    assert f"--hash=sha256:{'1' * 64}" not in pins["some-package"].text


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel in a folder, from which the real pip fetches in place of an index."""
    original = wheel(tmp_path / "index", "some_package-1.0", {"some_package.py": b""})
    monkeypatch.setenv("WHEELS", str(original.parent))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return original


@pytest.mark.medium
def test_pip_fetches_the_wheel_of_the_locks_hash(tmp_path: Path, index: Path) -> None:
    pin = packages.pins([lock(tmp_path / "lock.txt", own=packages.sha256(index))])["some-package"]
    packages.fetch({pin.name: pin}, "3.12", tmp_path / "fetched", "")
    assert (tmp_path / "fetched" / index.name).read_bytes() == index.read_bytes()


@pytest.mark.medium
@pytest.mark.usefixtures("index")
def test_pip_fetches_no_wheel_of_another_hash(tmp_path: Path) -> None:
    pin = packages.pins([lock(tmp_path / "lock.txt")])["some-package"]
    with pytest.raises(Wrong, match=r"^The wheel of Some_Package==1\.0 for CPython 3\.12 has none of the hashes"):
        packages.fetch({pin.name: pin}, "3.12", tmp_path / "fetched", "")


def test_nothing_to_fetch_needs_no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.subprocess, "run", None)
    packages.fetch({}, "3.12", tmp_path / "wheels", "")
    assert list((tmp_path / "wheels").iterdir()) == []


def test_any_other_failure_of_pip_is_told_by_its_last_error() -> None:
    said = "WARNING: a\nERROR: first\nERROR: Could not open requirements file\n"
    remedy = "correct that, or name a folder that has them in WHEELS"
    opening = "pip could not fetch the wheels (Could not open requirements file)"
    assert packages._reason(said, "3.12") == f"{opening}: {remedy}"
    assert packages._reason("no error\nhere\n", "3.12") == f"pip could not fetch the wheels (here): {remedy}"


def test_requirements_are_exactly_the_wheels_by_hash(tmp_path: Path) -> None:
    files = [wheel(tmp_path, name, {}) for name in ("b_package-2.0", "A.Package-1.0")]
    assert packages.requirements(files) == (
        f"a-package==1.0 --hash=sha256:{packages.sha256(files[1])}\n"
        f"b-package==2.0 --hash=sha256:{packages.sha256(files[0])}\n"
    )


def test_libraries_of_a_wheel_go_to_the_module_path_and_programs_nowhere(tmp_path: Path) -> None:
    data = "some-1.0.data"
    files = {"some/a.py": b"1", f"{data}/purelib/some/b.py": b"2", f"{data}/platlib/c.so": b"3"}
    dropped = {f"{data}/scripts/run": b"4", f"{data}/headers/some.h": b"5", f"{data}/data/etc/some": b"6"}
    packages.unpack(wheel(tmp_path, "some-1.0", {**files, **dropped}), tmp_path / "site")
    names = {str(file.relative_to(tmp_path / "site")) for file in (tmp_path / "site").rglob("*") if file.is_file()}
    about = {f"some-1.0.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL")}
    assert names == {"some/a.py", "some/b.py", "c.so", *about}
    assert packages.installed(tmp_path / "site") == {"some": "1.0"}


def test_a_file_that_is_no_wheel_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "some-1.0-py3-none-any.whl").write_text("<html>")
    with pytest.raises(
        Wrong, match=r"some-1\.0-py3-none-any\.whl is no wheel that can be read \(.*\): build or copy it again$"
    ):
        packages.unpack(tmp_path / "some-1.0-py3-none-any.whl", tmp_path / "site")
