"""The project installed: as a wheel in an environment that has nothing else, and editable from a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import annotated_types
import click
import pydantic
import pydantic_core
import pytest
import typing_extensions
import typing_inspection
import yaml

from runner import __version__
from runner.record import codekey

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "experiments" / "records"
FOLDERS = ("runner", "analysis", "experiments", "docs")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
BESIDE = (
    *("experiments/gpus.yaml", "experiments/models.yaml", "experiments/paper.yaml", "experiments/floor.yaml"),
    *("docs/record.schema.json", "docs/study.schema.json"),
)
READER = (pydantic, pydantic_core, annotated_types, typing_extensions, typing_inspection)
DATA = (".yaml", ".html", ".css", ".js")
WHEEL = "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a command in a folder, without what this checkout adds to the path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def checked(folder: Path, *command: str | Path) -> str:
    done = run(folder, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, because setuptools writes beside the sources."""
    made = tmp_path_factory.mktemp("checkout")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, made / name, ignore=shutil.ignore_patterns("records", "gate", "__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, made / name)
    return made


@pytest.fixture(scope="module")
def dist(checkout: Path) -> Path:
    """The folder with the source distribution and the wheel."""
    checked(checkout, sys.executable, "-c", WHEEL)
    return checkout / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


def environment(folder: Path, *what: str | Path) -> Path:
    """Makes an environment of the declared dependencies and what pip is asked for; returns its folder of programs."""
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python3.*/site-packages")
    for module in (click, yaml, *READER):
        file = Path(str(module.__file__))
        source = file.parent if file.name == "__init__.py" else file
        (packages / source.name).symlink_to(source)
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install")
    with lent(folder):  # setuptools, which pip would fetch
        checked(folder, *pip, "-q", "--no-index", "--no-deps", "--no-build-isolation", *what)
    return folder / "bin"


@contextmanager
def lent(environment: Path) -> Iterator[None]:
    """Within it the environment also has the packages of the one that runs the tests."""
    (packages,) = environment.glob("lib/python3.*/site-packages")
    link = packages / "lent.pth"
    link.write_text(str(Path(pytest.__file__).parents[1]))
    yield
    link.unlink()


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("wheel"), wheel)


@pytest.fixture(scope="module")
def editable(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("editable"), "-e", checkout)


@pytest.fixture(params=["installed", "editable"])
def programs(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


def test_the_wheel_has_every_file_that_the_packages_read(wheel: Path, checkout: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {
        str(path.relative_to(checkout))
        for package in ("runner", "analysis")
        for path in (checkout / package).rglob("*")
        if path.suffix in (".py", *DATA)
    }
    assert data - names == set()
    assert {f"decode_floor/{name}" for name in BESIDE} <= names
    others = {name.split("/")[0] for name in names} - {"runner", "analysis", "decode_floor"}
    assert others == {f"decode_floor-{__version__}.dist-info"}


def test_the_source_distribution_can_be_built_again(dist: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {*BESIDE, *FILES, "runner/record/bounds.yaml", "analysis/report/page/page.html"} <= names


def test_the_dependencies_are_what_the_test_installs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [each.partition(">=")[0] for each in project["dependencies"]] == ["click", "PyYAML", "pydantic"]
    assert project["version"] == __version__


def test_the_runner_works_from_any_folder(programs: Path, tmp_path: Path) -> None:
    record = next(iter(sorted(RECORDS.rglob("*.json"))))
    assert checked(tmp_path, programs / "decode-floor", "verify", record) == "ok 1 record\n"
    assert "tiny" in checked(tmp_path, programs / "decode-floor", "models")
    by_module = checked(tmp_path, programs / "python", "-m", "runner", "--help")
    assert checked(tmp_path, programs / "decode-floor", "--help") == by_module
    assert by_module.startswith("Usage: python -m runner [OPTIONS]")


def test_installed_code_has_the_key_of_its_checkout(installed: Path, tmp_path: Path) -> None:
    assert checked(tmp_path, installed / "python", "-m", "runner.record.codekey").strip() == codekey.tree_key()


@pytest.mark.parametrize(
    ("command", "package"),
    [
        (("decode-floor-analysis", "floor"), "polars"),
        (("decode-floor", "cell", "--gpu", "cpu", "--model", "tiny", "--ctx", "64", "--spool", "spool"), "torch"),
    ],
)
def test_what_an_environment_lacks_is_one_line(
    installed: Path, tmp_path: Path, command: tuple[str, ...], package: str
) -> None:
    done = run(tmp_path, installed / command[0], *command[1:])
    assert done.returncode == 25, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert f"lacks the package {package}: " in last
    assert "Traceback" not in done.stderr


def test_the_tables_work_from_any_folder(editable: Path, tmp_path: Path) -> None:
    with lent(editable.parent):
        said = checked(tmp_path, editable / "decode-floor-analysis", "paper", "--records", RECORDS / "h100")
    assert "qwen2.5-7b" in said
