"""A/Bs as rows: which sessions count, and what was declared."""

import json

import pytest

from analysis import ab, abrow
from analysis.tables import graphs


@pytest.mark.medium
def test_a_declared_extension_that_is_due_is_told(copied):
    path = copied / "ab.json"
    manifest = json.loads(path.read_text())
    assert manifest["declared"] == {"sessions": 10, "extension": 10}
    manifest["asked"] = [10]
    manifest["blocks"] = manifest["blocks"][:5]
    path.write_text(json.dumps(manifest))
    row = abrow.row(ab.read(path))
    assert row.extension_due == 10
    assert "the declared 10 more sessions are due" in graphs.markdown([row])
    manifest["asked"] = [10, 13]
    path.write_text(json.dumps(manifest))
    row = abrow.row(ab.read(path))
    assert (row.extension_due, row.as_declared) == (0, False)
    assert "more sessions were requested than declared" in graphs.markdown([row])


@pytest.mark.medium
def test_a_block_that_is_not_complete_is_counted_and_not_used(copied):
    path = copied / "ab.json"
    manifest = json.loads(path.read_text())
    manifest["blocks"] = manifest["blocks"][:5]
    manifest["blocks"][-1]["sessions"].pop()
    path.write_text(json.dumps(manifest))
    row = abrow.row(ab.read(path))
    assert (row.sessions, row.unused) == (8, 1)
