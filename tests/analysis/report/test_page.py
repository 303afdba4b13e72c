"""The page has all rows, loads nothing, believes nobody's names, and is the same each time."""

import csv
import io
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import polars
import pytest

from analysis import registry
from analysis.report import contents, derived, files, page, provenance, section
from analysis.tables import _figureorigin, _verdict
from tests.support.browser import tab
from tests.support.frames import AB_ROW
from tests.support.records import H100, example_record, packed_record
from tests.support.reports import COMMITTED, contents_of, every_kind, too_fast, write_records

PHONE, DESKTOP = 390, 1400
PAPER = 1032  # A4 across less its margins: 273 mm at 96 / 25.4 px a mm
EVIL = "<img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Tags with their attributes, and the cells of each table."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.tables, self._table, self._cell = [], {}, None, None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self._table = self.tables.setdefault(dict(attrs)["id"], [])
        elif tag == "tr":
            self._table.append([])
        elif tag in ("td", "th"):
            self._table[-1].append("")
            self._cell = self._table[-1]

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell = None

    def handle_data(self, data):
        if self._cell is not None:
            self._cell[-1] += data.strip()


def with_frame(found, **changes):
    """The contents with changes of their frame."""
    return replace(found, reading=replace(found.reading, frame=replace(found.frame, **changes)))


def with_rows(found, **rows):
    """The contents with other rows of these tables."""
    return replace(found, rows={**found.rows, **rows})


def html_of(found):
    return page.html(found, page.pictures(found))


@pytest.fixture(scope="module")
def html(kinds):
    return html_of(kinds)


@pytest.fixture(scope="module")
def parsed(html):
    return Page(html)


@pytest.fixture(scope="module")
def committed_page(committed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    files.write(files.files(committed), folder)
    return folder / files.PAGE


def test_nothing_is_loaded_from_anywhere(html, parsed):
    for tag, attributes in parsed.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            target = attributes.get(name, "data:")
            assert target.startswith(("data:", "#")), (tag, target)
    assert not re.search(r"url\(|@import|https?://|fetch\(|XMLHttpRequest", html)
    policy = next(found["content"] for tag, found in parsed.tags if "http-equiv" in found)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert {"lang": "en"} in [found for tag, found in parsed.tags if tag == "html"]
    assert any(found.get("name") == "viewport" for tag, found in parsed.tags if tag == "meta")


def test_every_link_leads_somewhere_on_the_page(parsed):
    ids = [found["id"] for _, found in parsed.tags if "id" in found]
    assert len(set(ids)) == len(ids)
    links = {found["href"][1:] for tag, found in parsed.tags if tag == "a"}
    assert links <= set(ids)
    assert any(link.startswith("group-") for link in links)


def test_each_row_of_each_table_is_there_as_the_tables_word_it(committed):
    tables = Page(html_of(committed)).tables
    grids = [made for each in section.sections(committed.rows) for made in each.grids]
    assert [made.name for made in grids] == [
        f"table-{name}" for name in ("floor", "ranges", "graphs", "quant", "budget", "paper")
    ]
    for made in grids:
        titles, *rows = tables[made.name]
        assert titles == [head.title for head in made.heads]
        assert rows == [[cell.text for cell in row] for row in made.rows]
        is_ours = made.name in ("table-floor", "table-ranges", "table-graphs", "table-budget")
        assert all(any(cell.to for cell in row) for row in made.rows) == is_ours
    assert len(tables["table-floor"]) - 1 == len(committed.valid) == 45
    assert len(tables["table-graphs"]) - 1 == len(committed.rows["graphs"]) == 2
    first = dict(zip(tables["table-floor"][0], tables["table-floor"][1], strict=True))
    row = committed.valid[0]
    assert (first["model"], first["ms/step"]) == (row.model, f"{row.step_wall_ms:.2f}")
    assert first["r_floor"] == f"{row.r_floor:.3f}"


def test_what_is_invalid_or_was_not_measured_stands_there_with_its_reason(kinds, parsed):
    _, *rows = parsed.tables["table-invalid"]
    assert [row[1] for row in rows] == ["invalid", "not measured: oom"]
    assert "is impossible (above 1.02)" in rows[0][2]
    assert rows[1][0].startswith("h200 qwen2.5-7b 16384")
    assert rows[1][2] == "the worker was killed by SIGSEGV; its last output: Fatal Python error"
    assert len(parsed.tables["table-floor"]) - 1 == len(kinds.valid)


def test_flags_are_explained_those_of_the_tables_too(html, made_of):
    assert "faster than the bandwidth probe allows" in html  # the invalid session's flag
    assert "<dt>drifting</dt>" not in html
    elsewhere = example_record(cell={"dtype": "bf16"})
    elsewhere["keys"]["host_id"] = "f" * 12
    shown = html_of(made_of([packed_record(), elsewhere]))
    assert "<dt>other-host</dt>" in shown


def test_each_group_names_all_its_sessions_keys_and_environment(kinds, parsed):
    title, *rows = parsed.tables["table-origins"]
    assert title[:2] == ["row", "n"]
    assert len(rows) == len(kinds.rows["floor"]) + len(kinds.rows["graphs"])
    bf16 = next(row for row in rows if row[1] == "6")
    assert bf16[3] == "2025-10-09 to 2025-10-14"  # six sessions on six days
    assert bf16[2] == "6 sessions" + "".join(f"{number:016x} {number}.json" for number in range(6))
    group = next(row for row in kinds.rows["floor"] if row.sessions == 6)
    assert bf16[5:8] == [group.cell_key, group.code_key, group.env_key]
    environments = parsed.tables["table-environments"]
    assert environments[0][2:5] == ["python", "torch", "cuda"]
    assert environments[1][:4] == [group.env_key, "11", "3.11.7", "2.11.0+cu130"]


def test_an_ab_of_a_store_names_its_own_run(committed):
    (first, *_) = committed.reading.compared
    of_store = with_frame(committed, ab_runs={first.manifest.id: "f" * 32})
    named = [each[0] for each in Page(html_of(of_store)).tables["table-origins"] if "f" * 32 in each[0]]
    assert named == [f"A/B {first.manifest.id}: {first.manifest.title} (run {'f' * 32})"]


def lines_of(found):
    return list(csv.DictReader(io.StringIO(files.files(found)[files.SESSIONS])))


def test_a_file_beside_the_page_names_every_session_of_every_row_with_its_record(committed):
    lines = lines_of(committed)
    of_rows = Counter(line["row"] for line in lines)
    counted = {row.anchor: row.sessions for row in committed.rows["floor"]}
    counted |= {row.anchor: 2 * row.sessions for row in committed.rows["graphs"]}  # of each arm so many
    assert of_rows == counted
    ids = {found["id"] for _, found in Page(html_of(committed)).tags if "id" in found}
    assert of_rows.keys() <= ids
    for line in lines:
        record = json.loads((COMMITTED / line["record"]).read_text())
        assert record["session"]["id"] == line["session"]
        assert {key: line[key] for key in ("cell_key", "code_key", "env_key", "host_id")}.items() <= record[
            "keys"
        ].items()
        assert (line["status"], line["valid"]) == (record["outcome"]["status"], str(record["valid"]).lower())
        assert int(line["started_ms"]) == record["session"]["started_ms"]


def test_the_file_has_sessions_without_a_code_key_and_those_of_a_store_with_their_runs(kinds):
    (failed,) = [line for line in lines_of(kinds) if line["status"] == "oom"]
    assert (failed["code_key"], failed["valid"], failed["record"]) == ("", "false", "11.json")
    runs = kinds.frame.sessions.with_columns(run_id=polars.lit("run-") + polars.col("session").str.slice(12))
    of_store = with_frame(kinds, sessions=runs, record_files={})
    for line in lines_of(of_store):
        assert (line["run_id"], line["record"]) == (f"run-{line['session'][12:]}", "")
    shown = html_of(of_store)
    assert "<div>0000000000000000 run-0000</div>" in shown
    assert ("the file of its record below" in shown, "the file of its record below" in html_of(kinds)) == (False, True)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("/data/acme/spool", "spool"),
        ("experiments/records", "experiments/records"),
        ("sqlite:////data/acme/mlflow.db", "sqlite:///mlflow.db"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("postgresql://me:***@db.example/mlflow", "postgresql://me:***@db.example/mlflow"),
    ],
)
def test_a_page_names_its_source_without_the_folders_above_it(source, shown):
    assert contents.published(source) == shown


def test_nor_do_the_lines_of_what_is_left_out_name_them(tmp_path):
    folder = write_records(tmp_path / "acme" / "spool", [example_record()])
    (folder / "cut.json").write_text("{")
    shown = html_of(contents_of(folder))
    assert "spool/cut.json" in shown
    assert str(tmp_path) not in shown


def linked(html, table):
    """(what the row is, the text that is a link, where it leads) of each row that has one."""
    body = re.search(rf'<table id="{table}">.*?<tbody>(.*?)</tbody>', html, re.DOTALL)[1]
    for row in re.findall(r"<tr>(.*?)</tr>", body):
        first, *_ = re.findall(r'<td class="small">(.*?)</td>', row)
        for to, text in re.findall(r'<td class="number"><a href="#(.*?)">(.*?)</a></td>', row):
            yield unescape(re.sub("<.*?>", "", first)), text, to


def test_a_range_leads_to_the_rows_that_it_is_made_of(committed):
    html = html_of(committed)
    found = {what: (text, to) for what, text, to in linked(html, "table-ranges")}
    count, to = found["h200 eager dynamic bf16"]
    (members,) = re.findall(rf'<li id="{to}">.*?: (.*)</li>', html)
    assert members.count("<a ") == int(count) == 12
    of_range = ("eager", "dynamic", "")
    cells = [row for row in committed.valid if (row.runtime, row.cache, row.options) == of_range]
    assert re.findall('href="#(.*?)"', members) == [row.anchor for row in cells]


def test_our_side_of_a_papers_figure_leads_to_the_row_that_it_comes_from(made_of):
    found = made_of([example_record(gpu=H100, cell={"gpu": "h100"}), example_record()])
    (row,) = [row for row in found.rows["floor"] if row.gpu == "h100"]
    links = {what: (text, to) for what, text, to in linked(html_of(found), "table-paper")}
    assert links == {
        "r_floor_paper h100 qwen2.5-7b 2048": (f"{row.r_floor_paper:.4g}", row.anchor),
        "r_floor (the paper's, in streamed bytes) h100 qwen2.5-7b 2048": (
            f"{row.r_floor:.4g}",
            row.anchor,
        ),
    }


def test_figures_of_an_ab_of_memory_and_of_a_whole_gpu_lead_to_theirs(made_of):
    floors = made_of([example_record(gpu=H100, cell={"gpu": "h100"})]).rows["floor"]
    place = {"gpu": "h100", "model": "qwen2.5-7b", "ctx": 2048}
    pair = replace(AB_ROW, **place, ab="0123", a_ms=14.0, b_ms=12.0, ratio=14 / 12)

    def leads(ours, **changes):
        figure = _verdict.unjudged("r_floor_paper", _verdict.Spot(**{**place, **changes}), None, ours)
        return _figureorigin.anchor(figure, {"floor": floors, "graphs": [pair]})

    assert leads(12.0) == leads(14 / 12) == "ab-0123"
    assert leads(floors[0].peak_bytes / 1e9) == floors[0].anchor
    assert leads(12.0, ctx=4096) is leads(None) is leads(13.0) is None
    (whole,) = derived.ranges(floors)
    assert leads(0.2, model=None, ctx=None) == whole.anchor
    assert leads(0.2, gpu="a100", model=None, ctx=None) is None


def test_the_page_tells_the_passes_of_every_term_of_the_budget(made_of):
    html = html_of(made_of([example_record(), example_record(cell={"cache": "dynamic"})]))
    assert "<code>gaps</code> busy, span; <code>host</code> see its column;" in html
    titles, *rows = Page(html).tables["table-budget"]
    place = titles.index("host from")
    assert {row[place] for row in rows} == {"span, wall", "span, revisit"}


def test_what_takes_most_is_told_of_every_cell_in_an_open_list_however_many(committed):
    many = [replace(row, model=f"{row.model}-{n}") for n in range(5) for row in committed.rows["budget"]]
    html = html_of(with_rows(committed, budget=many))
    lists = re.findall(r"<details class=.lines.( open)?>\n<summary>(.*?)</summary>(.*?)</details>", html, re.DOTALL)
    assert all(opened for opened, _, _ in lists)
    items = {summary: text for _, summary, text in lists}["Largest terms and their remedies (225)"]
    valid = [row for row in committed.rows["budget"] if row.valid]
    named = [row for row in valid if row.largest]
    assert items.count("; remedy:") == 5 * len(named)
    assert items.count("attribution is not possible:") == 5 * (len(valid) - len(named)) > 0


def test_names_from_others_are_text(made_of):
    found = made_of([example_record(), too_fast()])
    rows = {
        name: [replace(row, model=EVIL, flags=[EVIL], reasons=[EVIL]) for row in found.rows[name]]
        for name in ("floor", "budget")
    }
    shown = html_of(replace(with_rows(found, **rows), source=EVIL, filters=EVIL, left_out=(EVIL,)))
    assert "<img src=x" not in shown
    assert shown.count("&lt;img src=x onerror=alert(1)&gt;") > 10


def test_code_in_sentences_is_marked_and_escaped():
    assert page.code("`gaps` is <b>") == "<code>gaps</code> is &lt;b&gt;"


def test_the_same_records_give_the_same_bytes(kinds, kinds_folder):
    assert files.files(kinds) == files.files(contents_of(kinds_folder))


def test_the_folder_has_page_tables_and_the_figures_of_this_report_only(tmp_path, kinds):
    (tmp_path / "graphs.png").write_bytes(b"of an earlier report")
    (tmp_path / "mine.png").write_bytes(b"somebody's")
    made = files.files(kinds)
    files.write(made, tmp_path)
    drawn = {f"{name}.png" for name in registry.figure_names()} - {"graphs.png"}
    made_here = {"report.html", "tables.md", "sessions.csv"}
    assert {path.name for path in tmp_path.iterdir()} == {*made_here, "mine.png"} | drawn
    text = (tmp_path / "tables.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Floor: distance of each cell from its memory floor",
        "## Graphs: gain of a CUDA graph",
        "## Quant: savings of quantised weights",
        "## Budget: gap budget of a step",
        "## Paper: figures of arXiv 2605.30571 beside ours",
    ]


def test_records_without_anything_valid_make_a_page_that_says_so(made_of):
    shown = html_of(made_of([too_fast()]))
    assert "No session is valid." in shown
    assert "There is no valid session." in shown


def test_the_page_of_a_hundred_thousand_sessions_names_the_first_of_each_row_and_stays_small(made_of):
    found = made_of([example_record()])
    keys = [f"{number:012x}" for number in range(1000)]
    sessions = found.frame.sessions.drop("cell_key", "session").join(polars.DataFrame({"cell_key": keys}), how="cross")
    sessions = sessions.join(polars.DataFrame({"session": [f"{number:016x}" for number in range(100)]}), how="cross")
    tables = {
        name: [replace(row, cell_key=key, model=f"model-{key}") for row in found.rows[name] for key in keys]
        for name in ("floor", "budget")
    }
    large = with_rows(with_frame(found, sessions=sessions), **tables)
    shown = page.html(large, {one.name: b"" for one in large.figures})
    assert len(shown) < 4_000_000
    assert shown.count("and 95 more, in sessions.csv") == 1000
    assert "this page lists the first 5 of each row" in shown
    assert provenance.csv(large.sessions).count("\n") == 1 + 100_000


@pytest.fixture(scope="module")
def browser():
    with tab() as opened:
        yield opened


COLUMN = """
const column = (table, title) => {
  const heads = Array.from(document.querySelectorAll(`#${table} th`));
  const head = heads.find((each) => each.textContent.trim() === title);
  return { head, button: head.querySelector("button"), values: () => Array.from(
    document.querySelectorAll(`#${table} tbody tr`), (row) => row.cells[head.cellIndex].textContent.trim()) };
};
"""


def clicked(browser, table, title):
    """The column from top to bottom after a click on its head."""
    script = f"(() => {{ {COLUMN} const it = column('{table}', '{title}'); it.button.click(); return it.values(); }})()"
    return browser.value(script)


def sorting(browser, table, title):
    return browser.value(f"(() => {{ {COLUMN} return column('{table}', '{title}').head.ariaSort; }})()")


@pytest.mark.slow
def test_a_click_on_a_head_sorts_by_value_and_a_second_one_the_other_way_round(browser, committed, committed_page):
    browser.show(committed_page, DESKTOP)
    steps = sorted(row.step_wall_ms for row in committed.valid)
    shown = [f"{step:.2f}" for step in steps]
    assert sorting(browser, "table-floor", "ms/step") is None
    up = clicked(browser, "table-floor", "ms/step")
    assert up == shown
    assert up != sorted(shown)  # by value, not as text: 8.15 before 22.76
    assert sorting(browser, "table-floor", "ms/step") == "ascending"
    assert clicked(browser, "table-floor", "ms/step") == shown[::-1]
    models = clicked(browser, "table-floor", "model")
    assert models == sorted(models)
    assert sorting(browser, "table-floor", "ms/step") is None
    assert [text.split("–")[0] for text in clicked(browser, "table-graphs", "95 %")] == ["1.622", "2.563"]
    hosts = [float(text) for text in clicked(browser, "table-budget", "host") if text != "–"]
    assert hosts == sorted(hosts)
    assert 0 <= hosts[0] < hosts[-1]


@pytest.mark.slow
def test_what_is_missing_stays_last_either_way(browser, committed_page):
    browser.show(committed_page, DESKTOP)
    for turned in (False, True):
        found = clicked(browser, "table-floor", "revisit ms")
        present = [float(text) for text in found if text != "–"]
        assert present == sorted(present, reverse=turned)
        assert 0 < len(present) < len(found)
        assert found[len(present) :] == ["–"] * (len(found) - len(present))


@pytest.mark.slow
@pytest.mark.parametrize("key", ["Enter", " "])
def test_a_table_is_sorted_by_keyboard(browser, committed_page, key):
    browser.show(committed_page, DESKTOP)
    browser.value(f"(() => {{ {COLUMN} column('table-floor', 'r_floor').button.focus(); }})()")
    browser.press(key)
    found = browser.value(f"(() => {{ {COLUMN} return column('table-floor', 'r_floor').values(); }})()")
    assert [float(text) for text in found] == sorted(float(text) for text in found)
    assert sorting(browser, "table-floor", "r_floor") == "ascending"


@pytest.fixture(scope="module")
def phone(browser, tmp_path_factory):
    """A phone's window on a page that has all tables: of the committed records, of every kind, and of a cell that the
    paper has."""
    folder = tmp_path_factory.mktemp("phone")
    records = write_records(folder / "records", [*every_kind(), example_record(gpu=H100, cell={"gpu": "h100"})])
    shutil.copytree(COMMITTED, records, dirs_exist_ok=True)
    files.write(files.files(contents_of(records)), folder)
    browser.show(folder / files.PAGE, PHONE)
    return browser


FIRST_ROW = """
const cell = (table, title) => {
  const heads = Array.from(document.querySelectorAll(`#${table} th`));
  const place = heads.findIndex((each) => each.textContent.trim() === title);
  const found = document.querySelector(`#${table} tbody tr`).cells[place].getBoundingClientRect();
  return { left: found.left, right: found.right, width: found.width };
};
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "titles"),
    [
        ("table-floor", ("r_floor", "ms/step", "low", "high")),
        ("table-ranges", ("r_floor from", "to", "median")),
        ("table-graphs", ("a ms", "b ms", "a / b")),
        ("table-quant", ("ideal saving", "realised saving", "ms/step")),
        ("table-budget", ("ms/step", "floor")),
        ("table-paper", ("paper", "ours", "difference", "verdict")),
    ],
)
def test_on_a_phone_the_numbers_that_matter_stand_right_after_the_rows_name(phone, table, titles):
    found = [
        phone.value(f"(() => {{ {FIRST_ROW} return cell('{table}', '{title}'); }})()") for title in ("what", *titles)
    ]
    assert all(each["width"] > 0 for each in found)
    assert all(each["right"] <= PHONE for each in found)
    assert [each["left"] for each in found] == sorted(each["left"] for each in found)
    assert phone.value(f"(() => {{ {FIRST_ROW} return cell('{table}', 'gpu').width; }})()") == 0


@pytest.mark.slow
def test_on_a_phone_the_rows_name_stays_while_the_table_is_scrolled(phone):
    left, scrolled = phone.value(
        """(() => {
          const table = document.querySelector("#table-floor");
          table.parentNode.scrollLeft = 300;
          const found = [table.tBodies[0].rows[0].cells[0].getBoundingClientRect().left, table.parentNode.scrollLeft];
          table.parentNode.scrollLeft = 0;
          return found;
        })()"""
    )
    assert scrolled == 300
    assert left >= 0


FIGURES_NOW = """({
  pictures: Array.from(document.images, (image) => image.getBoundingClientRect().width),
  scroll: document.documentElement.scrollWidth,
})"""


@pytest.mark.slow
def test_on_a_phone_a_figure_is_as_wide_as_the_window_until_it_is_tapped(phone):
    found = phone.value(FIGURES_NOW)
    assert len(found["pictures"]) == len(registry.figure_names())
    assert all(200 < width <= PHONE for width in found["pictures"])
    phone.value("document.querySelectorAll('figure button').forEach((each) => each.click())")
    large = phone.value(FIGURES_NOW)
    assert all(width > 2 * PHONE for width in large["pictures"])
    assert large["scroll"] <= PHONE  # it scrolls in a box of its own
    phone.value("document.querySelectorAll('figure button').forEach((each) => each.click())")
    assert phone.value(FIGURES_NOW) == found


WIDTHS = """(() => {
  const table = document.querySelector("#table-floor");
  return {
    inner: innerWidth,
    scroll: document.documentElement.scrollWidth,
    boxes: Array.from(document.querySelectorAll(".scroll"), (box) => box.getBoundingClientRect().right),
    hidden: table.scrollWidth - table.parentNode.clientWidth,
    pictures: Array.from(document.images, (image) => image.naturalWidth),
  };
})()"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_the_page_is_no_wider_than_its_window(browser, committed_page, width):
    browser.show(committed_page, width)
    found = browser.value(WIDTHS)
    assert found["inner"] == width
    assert found["scroll"] <= width
    assert all(right <= width for right in found["boxes"])
    assert width == DESKTOP or found["hidden"] > 0  # a wide table scrolls in a box of its own
    assert len(found["pictures"]) == 6
    assert all(found["pictures"])


@pytest.mark.slow
def test_what_is_printed_fits_on_the_paper(browser, committed_page):
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        browser.show(committed_page, PAPER)
        assert browser.value("document.documentElement.scrollWidth") <= PAPER
    finally:
        browser.call("Emulation.setEmulatedMedia", media="screen")


@pytest.mark.slow
def test_no_script_but_the_pages_own_runs(browser, committed_page, tmp_path):
    html = committed_page.read_text(encoding="utf-8")
    odd = tmp_path / "odd.html"
    odd.write_text(html.replace("</body>", f"<script>window.evil = 1</script>{EVIL}</body>"), encoding="utf-8")
    browser.show(odd, DESKTOP)
    assert browser.value("typeof window.evil") == "undefined"
    assert clicked(browser, "table-graphs", "ctx") == ["2048", "16384"]
