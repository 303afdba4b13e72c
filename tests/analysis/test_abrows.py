"""A/Bs as rows: which sessions count, and what was declared."""

import json
from dataclasses import replace

import pytest

from analysis import ab, abrows, paper
from analysis.tables import graphs


@pytest.mark.medium
def test_a_declared_extension_that_is_due_is_told(copied):
    path = copied / "ab.json"
    manifest = json.loads(path.read_text())
    assert manifest["declared"] == {"sessions": 10, "extension": 10}
    manifest["asked"] = [10]
    manifest["blocks"] = manifest["blocks"][:5]
    path.write_text(json.dumps(manifest))
    row = abrows.row(ab.read(path))
    assert row.extension_due == 10
    assert "the declared 10 more sessions are due" in graphs.markdown([row])
    manifest["asked"] = [10, 13]
    path.write_text(json.dumps(manifest))
    row = abrows.row(ab.read(path))
    assert (row.extension_due, row.as_declared) == (0, False)
    assert "more sessions were requested than declared" in graphs.markdown([row])


@pytest.mark.medium
def test_a_block_that_is_not_complete_is_counted_and_not_used(copied):
    path = copied / "ab.json"
    manifest = json.loads(path.read_text())
    manifest["blocks"] = manifest["blocks"][:5]
    manifest["blocks"][-1]["sessions"].pop()
    path.write_text(json.dumps(manifest))
    row = abrows.row(ab.read(path))
    assert (row.sessions, row.unused) == (8, 1)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("arms", "options", "has_figure"),
    [
        (("eager", "graph"), {}, True),
        (("graph", "eager"), {}, True),
        (("graph", "fused"), {}, False),
        (("eager", "graph"), {"sdpa": "flash"}, False),
    ],
)
def test_the_papers_figure_is_beside_an_ab_of_its_cell_and_arms_alone(copied, arms, options, has_figure):
    measured = ab.read(copied / "ab.json")
    manifest = measured.manifest
    entries = {
        name: replace(entry, value=value, cell=replace(entry.cell, gpu="h100", options=options))
        for (name, entry), value in zip(manifest.arms.items(), arms, strict=True)
    }
    row = abrows.row(replace(measured, manifest=replace(manifest, arms=entries)))
    assert row.paper == (paper.graphs_row("h100", "qwen2.5-7b", 2048) if has_figure else None)
    assert row.options == ("sdpa:flash" if options else "")
