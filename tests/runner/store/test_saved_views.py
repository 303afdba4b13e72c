"""The saved views of an experiment name what its runs have."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner import store
from runner.ab import manifest
from runner.errors import GpuNotFound
from runner.store import EntryRun, saved_views
from runner.store.session_run import TAG_LENGTH
from tests.pages.screenshots import CLOSE_ASSISTANT
from tests.support import browser
from tests.support.derive import typed
from tests.support.energies import energy_record
from tests.support.processes import ROOT
from tests.support.records import example_record
from tests.support.stores import served

(AB,) = (ROOT / "experiments" / "records").glob("h200/ab-qwen2.5-7b-2048-eager-graph-*")


@pytest.mark.medium
def test_the_views_name_only_metrics_and_tags_that_runs_have(sqlite_uri: str) -> None:
    run = MlflowClient(tracking_uri=sqlite_uri).get_run(store.commit(typed(energy_record()), None))
    known = {f"metrics.`{name}`" for name in run.data.metrics} | {f"tags.`{name}`" for name in run.data.tags}
    assert {*saved_views.SESSION_COLUMNS, *saved_views.CELL_COLUMNS, f"tags.`{saved_views.GROUP_TAG}`"} <= known
    assert {*saved_views.FAILURE_COLUMNS} <= known
    assert {name.partition("/")[0] for name in run.data.metrics} == {*saved_views.SECTIONS}


@pytest.mark.medium
def test_mlflow_finds_sessions_and_abs_by_the_views_filters(sqlite_uri: str) -> None:
    session = store.commit(typed(example_record()), None)
    invalid = store.commit(typed(example_record(session={"id": "another"}, bytes={"weights_measured": 1})), None)
    compared = store.commit_comparison(manifest.read(AB / "ab.json"), (1, 2), None, None)
    client = MlflowClient(sqlite_uri)
    home = client.get_run(session).info.experiment_id
    saved = [json.loads(json.loads(text)["state"]) for text in saved_views.view_tags().values()]
    found = [{run.info.run_id for run in client.search_runs([home], view["searchFilter"])} for view in saved]
    assert found == [{session}, {session}, {compared}, {invalid}]  # Sessions and Cells have valid ones alone


def test_the_address_of_an_experiment_opens_its_sessions() -> None:
    assert saved_views.address("http://127.0.0.1:5000", "7").startswith("http://127.0.0.1:5000/#/experiments/7/")
    key = saved_views.address("", "7").partition("viewStateShareKey=")[2].partition("&")[0]
    assert json.loads(saved_views.view_tags()[f"{saved_views.TAG_PREFIX}{key}"])["name"] == "Sessions"


def test_each_view_fits_into_a_tag_and_the_menu_shows_them_in_order() -> None:
    saved = [json.loads(text) for text in saved_views.view_tags().values()]
    assert max(map(len, saved_views.view_tags().values())) <= TAG_LENGTH
    by_time = sorted(saved, key=lambda view: -view["createdAt"])
    assert [view["name"] for view in by_time] == [
        "Sessions",
        "Cells: mean of sessions (tables use medians)",
        "A/B",
        "Failed",
    ]


WIDEST = {"model": "llama-3.1-8b", "ctx": 16384, "quant": "bnb-nf4", "runtime": "exllamav2"}


LAST = {saved_views.SESSIONS: "tags.`valid`", saved_views.CELLS: f"metrics.`{saved_views.P90_MS}`"}
LAST |= {saved_views.COMPARISONS: "metrics.`ab/b_ms`"}


@pytest.mark.parametrize(("view", "last"), LAST.items())
def test_the_first_columns_fit_into_a_window_of_1280_pixels(view: str, last: str) -> None:
    tag = saved_views.view_tags()[f"{saved_views.TAG_PREFIX}{view}"]
    widths = json.loads(json.loads(tag)["state"])["columnWidths"]
    first = [*widths][: [*widths].index(last) + 1]
    # 1280 = 254 around the table (the side bar) + 73 for MLflow's own boxes + 953
    assert sum(widths[name] for name in first) <= 953


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Path) -> Iterator[str]:
    """The address of an experiment's view on a real server: three valid sessions, one that is not, a failed request."""
    folder = tmp_path_factory.mktemp("shown")
    shutil.copy(empty_sqlite, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
        for index in range(2):
            started_ms = 1_760_000_000_000 + index * 60_000
            session = {"id": f"{index}", "index": index, "started_ms": started_ms, "finished_ms": started_ms + 1000}
            run_id = store.commit(typed(example_record(session=session)), None)
        store.commit(typed(example_record(cell=WIDEST, session={"id": "w", "index": 2, "started_ms": 1})), None)
        store.commit(typed(example_record(session={"id": "another"}, bytes={"weights_measured": 1})), None)
        client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
        home = str(client.get_run(run_id).info.experiment_id)
        EntryRun(client.create_run(home).info.run_id).fail(GpuNotFound("this machine has no L4"))
    with served(folder) as server:
        yield saved_views.address(server, home)


ROWS = (
    "[...document.querySelectorAll('.ag-pinned-left-cols-container .ag-row')]"
    ".sort((a, b) => a.getAttribute('row-index') - b.getAttribute('row-index'))"
    f".map(row => row.querySelector('[col-id=\"{saved_views.NAME}\"]')"
    ".innerText.split('\\n').find(line => !line.startsWith('#')))"  # the colour of the run in the charts is before it
)
HEADS = (
    "[...document.querySelectorAll('.ag-header-cell')].filter(head => head.innerText.trim())"
    ".sort((a, b) => a.getBoundingClientRect().x - b.getBoundingClientRect().x)"
    ".map(head => [head.innerText.trim(), head.offsetWidth, head.querySelector('span').scrollWidth])"
)
SESSION_HEADS = (
    *("Run Name", "Created", "gpu", "model", "ctx", "quant", "runtime"),
    *("ms/step", "r_floor", "p90", "valid"),
)


@pytest.mark.slow
def test_the_browser_lists_valid_sessions_with_their_cell_and_numbers_first(shown: str) -> None:
    with browser.tab() as tab:
        tab.open(shown, 2400, 900)
        rows = tab.wait_for(f"{ROWS}.length && {ROWS}")
        heads = tab.wait_for(f"{HEADS}.length > {len(SESSION_HEADS)} && {HEADS}")
    assert rows[:2] == [f"h200 eager bf16 2048 qwen2.5-7b static #{n}" for n in (1, 0)]
    assert len(rows) == 3
    assert tuple(name for name, _, _ in heads[: len(SESSION_HEADS)]) == SESSION_HEADS
    assert [name for name, width, needed in heads if needed > width] == []


TEXTS = """(columns => {
  const edge = document.querySelector('.ag-root').getBoundingClientRect().right
  const boxes = [...document.querySelectorAll('.ag-header-cell, .ag-cell')]
  return boxes.filter(box => columns.includes(box.getAttribute('col-id'))).map(box => {
    const {paddingRight, borderRightWidth} = getComputedStyle(box)
    const right = box.getBoundingClientRect().right - parseFloat(paddingRight) - parseFloat(borderRightWidth)
    const walker = document.createTreeWalker(box, NodeFilter.SHOW_TEXT), range = document.createRange()
    let needed = 0
    while (walker.nextNode()) {
      range.selectNodeContents(walker.currentNode)
      needed = Math.max(needed, range.getBoundingClientRect().right)
    }
    return [box.innerText.trim(), 0 < needed && needed <= Math.min(edge, right)]
  })
})"""
"""The text of each head and cell of the columns, and whether it ends inside its box and the table."""


@pytest.mark.slow
def test_a_window_of_1280_pixels_shows_the_cell_and_its_numbers_in_full(shown: str) -> None:
    columns = [saved_views.CREATED, *saved_views.SESSION_COLUMNS][: len(SESSION_HEADS) - 1]
    found = f"{TEXTS}({json.dumps(columns)})"
    boxes = (1 + 3) * len(columns)  # a head and three sessions
    with browser.tab() as tab:
        tab.open(shown, 1280, 900)
        tab.wait_for(f"{ROWS}.length")
        texts = tab.wait_for(f"({CLOSE_ASSISTANT}, {found}.length == {boxes} && {found})")
    assert [text for text, is_whole in texts if not is_whole] == []


@pytest.mark.slow
def test_the_browser_groups_sessions_under_a_name_that_begins_with_the_cell(shown: str) -> None:
    with browser.tab() as tab:
        tab.open(shown.replace("=sessions", "=cells"), 2400, 900)
        rows = tab.wait_for(f"{ROWS}.length && {ROWS}")
        page = tab.value("document.body.innerText")
    assert rows[0].startswith("Group: h200 eager bf16 2048 qwen2.5-7b static ")
    assert "Cells: mean of sessions" in page
    assert "(average)" in page


@pytest.mark.slow
def test_the_browser_shows_what_failed_and_why(shown: str) -> None:
    with browser.tab() as tab:
        tab.open(shown.replace("=sessions", "=failures"), 2400, 900)
        rows = tab.wait_for(f"{ROWS}.length && {ROWS}")
        page = tab.value("document.body.innerText")
    assert rows[0].startswith("request: no such GPU here")
    assert len(rows) == 2
    assert "this machine has no L4" in page


@pytest.mark.slow
def test_the_browsers_charts_open_on_step_time_and_the_fraction_of_the_floor(shown: str) -> None:
    cards = (
        "[...document.querySelectorAll('[data-testid=\"experiment-view-compare-runs-card\"]')].map(x => x.innerText)"
    )
    with browser.tab() as tab:
        tab.open(f"{shown}&compareRunsMode=CHART", 1600, 900)
        found = tab.wait_for(f"{cards}.length && {cards}")
    assert [text.split("\n")[0] for text in found] == ["latency/step_wall_ms", "floor/r_floor"]
