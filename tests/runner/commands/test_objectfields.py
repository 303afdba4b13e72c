"""The lists of fields in docs/json.md."""

from __future__ import annotations

from runner.commands import objectfields
from tests.support.processes import ROOT


def test_the_documentation_lists_every_field() -> None:
    assert (ROOT / "docs" / "json.md").read_text(encoding="utf-8").endswith(f"\n\n{objectfields.markdown()}")
