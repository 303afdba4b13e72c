"""What reports are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from analysis.outputs import Files
from analysis.report import files
from analysis.report.contents import Contents
from tests.support.pages import Page, html_of
from tests.support.reports import COMMITTED, contents_of, every_kind, write_records


@pytest.fixture(scope="session")
def committed() -> Contents:
    """Of the committed records."""
    return contents_of(COMMITTED)


@pytest.fixture(scope="session")
def committed_files(committed: Contents) -> Files:
    """The files of that report: drawing its figures takes seconds."""
    return files.files(committed)


@pytest.fixture(scope="session")
def committed_html(committed_files: Files) -> str:
    """Its page."""
    html = committed_files[files.PAGE]
    assert isinstance(html, str)
    return html


@pytest.fixture(scope="session")
def kinds_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_records(tmp_path_factory.mktemp("kinds"), every_kind())


@pytest.fixture(scope="session")
def kinds(kinds_folder: Path) -> Contents:
    """Of records of every kind."""
    return contents_of(kinds_folder)


@pytest.fixture
def made_of(tmp_path: Path) -> Callable[[Iterable[dict[str, Any]]], Contents]:
    """Contents of these records."""
    return lambda records: contents_of(write_records(tmp_path / "made", records))


@pytest.fixture(scope="session")
def html(kinds: Contents) -> str:
    """The page of records of every kind."""
    return html_of(kinds)


@pytest.fixture(scope="session")
def parsed(html: str) -> Page:
    return Page(html)
