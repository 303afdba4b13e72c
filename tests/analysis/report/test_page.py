"""The page has all rows, loads nothing, believes nobody's names, and is used in a browser and on paper."""

import re
import shutil
from dataclasses import replace
from html import unescape

import pytest

from analysis import registry
from analysis.choose import choosing
from analysis.choose.limits import Limits
from analysis.choose.scope import Scope
from analysis.report import files, page, section
from analysis.tables import choose
from runner.cell import catalogue
from tests.support.browser import tab
from tests.support.hostconditions import conditioned
from tests.support.pages import Page, html_of, with_rows
from tests.support.records import H100, example_record
from tests.support.reports import COMMITTED, contents_of, every_kind, too_fast, write_records
from tests.support.tailrecords import tail_record, three_sessions

PHONE, LAPTOP, DESKTOP = 390, 1280, 1400
PAPER = 1032  # A4 across less its margins: 273 mm at 96 / 25.4 px a mm
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def committed_page(committed_files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    files.write(committed_files, folder)
    return folder / files.PAGE


@pytest.mark.medium
def test_nothing_is_loaded_from_anywhere(html, parsed):
    for tag, attributes in parsed.tags:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            target = attributes.get(name, "data:")
            assert target.startswith(("data:", "#")), (tag, target)
    # a figure refers to its own shapes, and names the namespaces of SVG
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/)|fetch\(|XMLHttpRequest", html)
    policy = next(found["content"] for tag, found in parsed.tags if "http-equiv" in found)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert {"lang": "en"} in [found for tag, found in parsed.tags if tag == "html"]
    assert any(found.get("name") == "viewport" for tag, found in parsed.tags if tag == "meta")


@pytest.mark.medium
def test_every_link_leads_somewhere_on_the_page(parsed):
    ids = [found["id"] for _, found in parsed.tags if "id" in found]
    assert len(set(ids)) == len(ids)
    links = {found["href"][1:] for tag, found in parsed.tags if tag == "a"}
    assert links <= set(ids)
    assert any(link.startswith("group-") for link in links)


@pytest.mark.slow
def test_each_row_of_each_table_is_there_as_the_tables_word_it(committed, committed_html):
    tables = Page(committed_html).tables
    grids = [made for each in section.sections(committed.rows) for made in each.grids]
    assert [made.name for made in grids] == [
        f"table-{name}"
        for name in (
            *("floor", "ranges", "choose", "graphs", "quant", "budget", "paper"),
            *("claims", "evidence", "differences", "contrasts", "derived", "conditions", "launches"),
        )
    ]
    for made in grids:
        titles, *rows = tables[made.name]
        assert titles == [head.title for head in made.heads]
        assert rows == [[cell.text + cell.detail for cell in row.cells] for row in made.rows]
        if made.name not in ("table-derived", "table-claims"):  # some of these rows may have no sessions
            is_others = made.name in ("table-choose", "table-quant", "table-paper")
            assert all(any(cell.to for cell in row.cells) for row in made.rows) != is_others
    assert len(tables["table-floor"]) - 1 == len(committed.valid)
    assert len(tables["table-graphs"]) - 1 == len(committed.rows["graphs"])
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


def linked(html, table):
    """(what the row is, the text that is a link, where it leads) of each row that has one."""
    body = re.search(rf'<table id="{table}">.*?<tbody>(.*?)</tbody>', html, re.DOTALL)[1]
    for row in re.findall(r"<tr.*?>(.*?)</tr>", body):
        first, *_ = re.findall(r'<td class="small">(.*?)</td>', row)
        for to, text in re.findall(r'<td class="number"><a href="#(.*?)">(.*?)</a></td>', row):
            yield unescape(re.sub("<.*?>", "", first)), text, to


@pytest.mark.slow
def test_a_range_leads_to_the_rows_that_it_is_made_of(committed, committed_html):
    found = {what: (text, to) for what, text, to in linked(committed_html, "table-ranges")}
    count, to = found["h200 eager dynamic bf16 paper-5-30"]
    (members,) = re.findall(rf'<li id="{to}">.*?: (.*)</li>', committed_html)
    assert members.count("<a ") == int(count) == 12
    of_range = ("eager", "dynamic", "")
    cells = [row for row in committed.valid if (row.runtime, row.cache, row.options) == of_range]
    assert re.findall('href="#(.*?)"', members) == [row.anchor for row in cells]


@pytest.mark.medium
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


@pytest.mark.medium
def test_the_page_tells_the_passes_of_every_term_of_the_budget(made_of):
    html = html_of(made_of([example_record(), example_record(cell={"cache": "dynamic"})]))
    assert "<code>gaps</code> busy, span; <code>host</code> see its column;" in html
    titles, *rows = Page(html).tables["table-budget"]
    place = titles.index("host from")
    assert {row[place] for row in rows} == {"span, wall", "span, revisit"}


@pytest.mark.slow
def test_what_takes_most_is_told_of_every_cell_in_an_open_list_however_many(committed):
    many = [replace(row, model=f"{row.model}-{n}") for n in range(5) for row in committed.rows["budget"]]
    html = html_of(with_rows(committed, budget=many))
    lists = re.findall(r"<details class=.lines.( open)?>\n<summary>(.*?)</summary>(.*?)</details>", html, re.DOTALL)
    assert [summary for opened, summary, _ in lists if not opened] == ["Invalid or not measured (2)"]
    valid = [row for row in committed.rows["budget"] if row.valid]
    items = {summary: text for _, summary, text in lists}[f"Largest terms and their remedies ({5 * len(valid)})"]
    named = [row for row in valid if row.largest]
    assert items.count("; remedy:") == 5 * len(named)
    unnamed = items.count("attribution is not possible:") + items.count("cannot rank them")
    assert unnamed == 5 * (len(valid) - len(named)) > 0


@pytest.mark.medium
def test_names_from_others_are_text(made_of):
    found = made_of([example_record(), too_fast()])
    rows = {
        name: [replace(row, model=EVIL, flags=[EVIL], reasons=[EVIL]) for row in found.rows[name]]
        for name in ("floor", "budget")
    }
    shown = html_of(replace(with_rows(found, **rows), source=EVIL, filters=EVIL, left_out=(EVIL,)))
    assert "<img src=x" not in shown
    assert shown.count("&lt;img src=x onerror=alert(1)&gt;") > 10


def test_an_interval_is_broken_before_its_bracket_only():
    assert page.before_brackets("1.42 [1.40–1.43] (95 %)") == "1.42 <wbr>[1.40–1.43] <wbr>(95 %)"
    assert page.before_brackets("<b> [1]") == "&lt;b&gt; <wbr>[1]"


def test_code_in_sentences_is_marked_and_escaped():
    assert page.code("`gaps` is <b>") == "<code>gaps</code> is &lt;b&gt;"
    assert page.code("45 % of 3") == "45\u00a0% of 3"  # no line begins with the sign


def test_a_flag_is_not_broken_at_its_hyphen():
    assert page.unbroken("gate-1, passes-disagree & drifting") == (
        '<span>gate-1,</span> <span class="long">passes-disagree</span> &amp; drifting'
    )


@pytest.mark.medium
def test_records_without_anything_valid_make_a_page_that_says_so(made_of):
    shown = html_of(made_of([too_fast()]))
    assert "No session is valid." in shown
    assert "No row is valid." in shown


@pytest.mark.medium
def test_records_under_a_condition_of_the_host_alone_make_a_page_with_their_steps(made_of):
    page = Page(html_of(made_of([conditioned("pinned:1"), conditioned("busy:8", example_record(cell={"ctx": 4096}))])))
    _, *rows = page.tables["table-conditions"]
    assert {row[0] for row in rows} == {
        "h200 qwen2.5-7b 2048 pinned:1 eager static",
        "h200 qwen2.5-7b 4096 busy:8 eager static",
    }


@pytest.mark.slow
def test_each_row_of_claims_and_differences_leads_to_its_sessions(committed, committed_html):
    ids = {found["id"] for _, found in Page(committed_html).tags if "id" in found}
    for table in ("claims", "differences"):
        for row in committed.rows[table]:
            assert row.anchor is None or row.anchor in ids
            assert (row.anchor is None) == (not row.origins)
    several = [row for row in committed.rows["differences"] if len(row.origins) > 1]
    (members,) = re.findall(rf'<li id="{several[0].anchor}">.*?: (.*)</li>', committed_html)
    assert re.findall('href="#(.*?)"', members) == [*several[0].origins]


@pytest.fixture(scope="module")
def browser():
    with tab() as opened:
        yield opened


COLUMN = """
const value = (cell) => {  // without what is below it
    const copy = cell.cloneNode(true);
    copy.querySelector("small")?.remove();
    return copy.textContent.trim();
};
const column = (table, title) => {
  const heads = Array.from(document.querySelectorAll(`#${table} th`));
  const head = heads.find((each) => each.textContent.trim() === title);
  return { head, button: head.querySelector("button"), values: () => Array.from(
    document.querySelectorAll(`#${table} tbody tr`), (row) => value(row.cells[head.cellIndex])) };
};
"""


def clicked(browser, table, title):
    """The column from top to bottom after a click on its head."""
    script = f"(() => {{ {COLUMN} const it = column('{table}', '{title}'); it.button.click(); return it.values(); }})()"
    return browser.value(script)


def sorting(browser, table, title):
    return browser.value(f"(() => {{ {COLUMN} return column('{table}', '{title}').head.ariaSort; }})()")


TYPED = """(() => {
  const input = document.querySelector("#choose .typed input");
  input.value = "%s";
  input.dispatchEvent(new Event("input", { bubbles: true }));
  const place = (key) => document.querySelector(`#table-choose th[data-key="${key}"]`)?.cellIndex;
  return {
    disabled: input.disabled,
    said: document.querySelector("#choose .typed output").textContent,
    rows: Array.from(document.querySelectorAll("#table-choose tbody tr"), (row) =>
      [...["gpu", "quant", "kernel", "runtime", "cache", "dtype", "evidence", "meets", "miss_words"]].map((key) => {
        const cell = row.cells[place(key)];
        return (cell?.firstChild?.textContent ?? "").trim();
      })),
  };
})()"""


def judged_by_python(committed, deadline_ms):
    """The rows of the page for another deadline, in the order of the command."""
    first = committed.rows["choose"]
    scope = Scope(first[0].model, first[0].ctx, tuple(catalogue.gpus()), named=True)
    again = choosing.chosen(committed.reading, scope, Limits(deadline_ms), {}).rows
    shown = {identity(row) for row in first}
    return [row for row in again if identity(row) in shown]


def identity(row):
    return (row.basis, row.gpu, row.quant, row.kernel, row.runtime, row.cache, row.dtype, row.options)


def upper(words):
    return float(words.partition("≤")[2].rstrip("\xa0 %)"))


@pytest.mark.slow
@pytest.mark.parametrize("width", [PHONE, LAPTOP])
@pytest.mark.parametrize("deadline", [3.2, 7, 8.2, 25, 50, 75])
def test_a_typed_deadline_marks_and_sorts_as_the_command_does(browser, committed, committed_page, width, deadline):
    browser.show(committed_page, width)
    found = browser.value(TYPED % deadline)
    expected = judged_by_python(committed, deadline)
    assert not found["disabled"]
    assert found["said"] == choose.said(expected, "it")
    keys = ("gpu", "quant", "kernel", "runtime", "cache", "dtype", "evidence", "meets")
    words = [[str(row.value(key) or "–") for key in keys] for row in expected]
    assert [row[:-1] for row in found["rows"]] == words
    for row, shown in zip(expected, found["rows"], strict=True):
        if row.miss_upper is None:
            assert shown[-1] == "–"
        else:
            assert upper(shown[-1]) >= 100 * row.miss_upper * 0.995  # rounded to three digits


@pytest.mark.slow
def test_a_typed_deadline_judges_tails_as_the_command_does(browser, tmp_path):
    of_two = [tail_record(step_ms=20.0, cell={"attention": "flash-attn"}) for _ in range(2)]
    made = contents_of(write_records(tmp_path / "records", [*three_sessions(), *of_two]))
    files.write(files.files(made), tmp_path)
    browser.show(tmp_path / files.PAGE, LAPTOP)
    (bounded,) = {row.p99_ms for row in made.rows["choose"] if row.p99_ms is not None}
    words = set()
    for deadline in (bounded - 0.001, bounded + 0.001, 19.0, 21.0):
        found, expected = browser.value(TYPED % deadline), judged_by_python(made, deadline)
        assert found["said"] == choose.said(expected, "it")
        for row, shown in zip(expected, found["rows"], strict=True):
            assert [shown[0], *shown[6:8]] == [row.gpu, row.evidence, row.meets]
            assert shown[-1] == "–" if row.miss_upper is None else upper(shown[-1]) >= 100 * row.miss_upper * 0.995
            words |= {row.meets}
    assert {"yes", "median only", "too slow"} <= words


@pytest.mark.slow
def test_a_deadline_that_is_none_leaves_the_marks(browser, committed_page):
    browser.show(committed_page, LAPTOP)
    before = browser.value(TYPED % 50)
    for text in ("", "0", "-1", "abc"):
        found = browser.value(TYPED % text)
        assert found["said"] == "type a number above 0"
        assert found["rows"] == before["rows"]


@pytest.mark.medium
def test_without_its_script_the_page_shows_the_default_deadline(parsed):
    inputs = [found for tag, found in parsed.tags if tag == "input" and found.get("type") == "number"]
    assert [(found["value"], "disabled" in found) for found in inputs] == [("50", True)]


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
    flags = clicked(browser, "table-floor", "flags")
    flagged = [text for text in flags if text]
    assert flagged == sorted(flagged)  # by all flags, not the first one alone
    assert flags == [*flagged, *[""] * (len(flags) - len(flagged))]  # rows without a flag come last
    models = clicked(browser, "table-floor", "model")
    assert models == sorted(models)
    assert sorting(browser, "table-floor", "ms/step") is None
    assert [text.split("–")[0] for text in clicked(browser, "table-graphs", "95 %")] == ["1.622", "2.300", "2.563"]
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
        ("table-floor", ("ms/step", "r_floor", "p90 ≤", "$/Mtok", "flags")),
        ("table-ranges", ("r_floor from", "to", "median")),
        ("table-graphs", ("a ms", "b ms", "a / b")),
        ("table-quant", ("realised saving", "ideal saving", "ms/step", "p90 ≤")),
        ("table-budget", ("ms/step", "floor", "kernels", "gaps")),
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
          document.querySelector("#table-floor-all").checked = true;
          table.parentNode.scrollLeft = 300;
          const found = [table.tBodies[0].rows[0].cells[0].getBoundingClientRect().left, table.parentNode.scrollLeft];
          table.parentNode.scrollLeft = 0;
          document.querySelector("#table-floor-all").checked = false;
          return found;
        })()"""
    )
    assert scrolled == 300
    assert left >= 0


FIGURES = """({
  pictures: Array.from(document.querySelectorAll("figure > svg"), (picture) => {
    const texts = Array.from(picture.querySelectorAll("text"));
    const width = picture.getBoundingClientRect().width;
    const scale = width / picture.viewBox.baseVal.width;
    return {
      width,
      letters: Math.min(...texts.map((text) => scale * parseFloat(getComputedStyle(text).fontSize))),
      left: Math.min(...texts.map((text) => text.getBoundingClientRect().left)),
      right: Math.max(...texts.map((text) => text.getBoundingClientRect().right)),
    };
  }),
  scroll: document.documentElement.scrollWidth,
})"""


@pytest.mark.slow
def test_on_a_phone_a_figure_is_as_wide_as_the_window_and_its_text_legible(phone):
    found = phone.value(FIGURES)
    assert len(found["pictures"]) == len(registry.figure_names())
    assert found["scroll"] <= PHONE
    for picture in found["pictures"]:
        assert 300 < picture["width"] <= PHONE
        assert picture["letters"] >= 8  # pixels
        assert picture["left"] >= 0
        assert picture["right"] <= PHONE


WIDTHS = """(() => {
  const tables = Array.from(document.querySelectorAll(".grid table"));
  const cells = Array.from(document.querySelectorAll(".grid td, .grid th"));
  return {
    inner: innerWidth,
    scroll: document.documentElement.scrollWidth,
    boxes: Array.from(document.querySelectorAll(".scroll"), (box) => box.getBoundingClientRect().right),
    rest: ["invalid", ...(innerWidth < 600 ? [] : ["environments", "origins"])].map((name) => {
      const box = document.querySelector(`#table-${name}`).parentNode;
      box.closest("details")?.setAttribute("open", "");
      return box.scrollWidth - box.clientWidth;
    }),
    hidden: tables.map((table) => table.parentNode.scrollWidth - table.parentNode.clientWidth),
    cut: cells.filter((cell) => cell.scrollWidth > cell.clientWidth + 1).map((cell) => cell.textContent),
    sizes: cells.map((cell) => parseFloat(getComputedStyle(cell).fontSize)),
    pictures: Array.from(document.querySelectorAll("figure > svg"), (one) => one.getBoundingClientRect().height),
  };
})()"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [PHONE, LAPTOP, DESKTOP])
def test_the_page_is_no_wider_than_its_window(browser, committed_page, width):
    browser.show(committed_page, width)
    found = browser.value(WIDTHS)
    assert found["inner"] == width
    assert found["scroll"] <= width
    assert all(right <= width for right in found["boxes"])
    assert len(found["hidden"]) == 14
    assert max(found["hidden"]) <= 0  # the columns that are shown at first fit, with the flags
    assert found["cut"] == []
    assert max(found["rest"]) <= 0
    assert min(found["sizes"]) >= 12
    assert len(found["pictures"]) == 8
    assert all(found["pictures"])


SHOWN = """Array.from(document.querySelectorAll("%s th"), (head) => ({
  title: head.textContent.trim(), width: head.getBoundingClientRect().width, right: head.getBoundingClientRect().right,
})).filter((each) => each.width > 0)"""
TABLES = "Array.from(document.querySelectorAll('.grid table'), (table) => table.id)"


@pytest.mark.slow
@pytest.mark.parametrize("width", [PHONE, LAPTOP])
def test_no_table_shows_more_than_ten_columns_until_all_are_asked_for(browser, committed_page, width):
    browser.show(committed_page, width)
    tables = browser.value(TABLES)
    assert len(tables) == 14
    for table in tables:
        at_first = browser.value(SHOWN % f"#{table}")
        assert 3 < len(at_first) <= 10
        assert browser.value(f"document.querySelector('#{table} caption').textContent") != ""
        browser.value(f"document.querySelector('label[for={table}-all]').click()")
        all_of_them = browser.value(SHOWN % f"#{table}")
        assert len(all_of_them) > len(at_first)
        assert {each["title"] for each in at_first} <= {each["title"] for each in all_of_them}
        assert browser.value("document.documentElement.scrollWidth") <= width
        browser.value(f"document.querySelector('label[for={table}-all]').click()")
        assert browser.value(SHOWN % f"#{table}") == at_first


@pytest.mark.slow
@pytest.mark.parametrize("width", [PHONE, LAPTOP])
def test_flags_and_the_price_of_tokens_are_visible_without_scrolling(browser, committed_page, width):
    browser.show(committed_page, width)
    shown = {each["title"]: each["right"] for each in browser.value(SHOWN % "#table-floor")}
    assert shown["$/Mtok"] < shown["flags"] <= width
    size = browser.value("parseFloat(getComputedStyle(document.querySelector('#table-floor td')).fontSize)")
    assert size >= 12


JOULES = r"""(() => {
  const table = document.querySelector("#table-%s");
  const head = Array.from(table.tHead.rows[0].cells).find((each) => each.textContent.trim() === "J/token");
  const isSeen = (each) => each.getBoundingClientRect().width > 0;
  const below = Array.from(table.querySelectorAll("td small")).filter(isSeen);
  const values = Array.from(table.tBodies[0].rows, (row) => row.cells[head.cellIndex].textContent);
  return {
    below: below.map((each) => each.textContent.match(/J\/token ([0-9.]+)/)?.[1]).filter((each) => each !== undefined),
    right: Math.max(...below.map((each) => each.getBoundingClientRect().right)),
    values: values.filter((each) => each !== "–"),
    isColumn: isSeen(head),
  };
})()"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [PHONE, LAPTOP, DESKTOP])
@pytest.mark.parametrize("table", ["floor", "quant", "choose"])
def test_joules_are_below_the_step_where_they_were_measured_until_all_columns_are_shown(
    browser, committed_page, width, table
):
    browser.show(committed_page, width)
    at_first = browser.value(JOULES % table)
    assert len(at_first["below"]) >= 3
    assert at_first["below"] == [each.split()[0] for each in at_first["values"]]
    assert at_first["right"] <= width
    assert not at_first["isColumn"]
    browser.value(f"document.querySelector('#table-{table}-all').click()")
    all_of_them = browser.value(JOULES % table)
    assert (all_of_them["below"], all_of_them["isColumn"]) == ([], True)


@pytest.mark.slow
def test_what_names_a_row_on_demand_stands_below_its_name_until_all_columns_are_shown(browser, committed_page):
    browser.show(committed_page, LAPTOP)
    details = """Array.from(document.querySelectorAll("#table-floor tbody tr:first-child small"), (each) =>
      each.getBoundingClientRect().width > 0 ? each.textContent : "")"""
    assert browser.value(details) == ["static marlin fp16 paper-5-30"]
    browser.value("document.querySelector('#table-floor-all').click()")
    assert browser.value(details) == [""]


@pytest.mark.slow
def test_the_answers_are_on_the_first_screen_and_the_contents_beside_them(browser, committed_page):
    for width, height in ((LAPTOP, 900), (PHONE, 844)):
        browser.show(committed_page, width, height)
        boxes = browser.value(
            """["#answers h2:last-of-type", "#answers", "nav", "main"].map((name) => {
              const box = document.querySelector(name).getBoundingClientRect();
              return [box.left, box.top, box.right, box.bottom];
            })"""
        )
        last_question, answers, nav, main = boxes
        assert last_question[3] < height
        if width == LAPTOP:
            assert answers[3] <= height
            assert nav[2] <= min(answers[0], main[0])
            browser.value("scrollTo(0, 5000)")
            assert browser.value("document.querySelector('nav').getBoundingClientRect().top") >= 0
        else:
            assert nav[1] >= answers[3]


VISIBLE = """Array.from(document.querySelectorAll("#%s tbody tr"))
  .filter((row) => row.getBoundingClientRect().height > 0).map((row) => row.id)"""


def chosen(browser, **values):
    for name, value in values.items():
        browser.value(
            f"""(() => {{
              const box = document.querySelector("#filters [name={name}]");
              box.value = "{value}";
              box.dispatchEvent(new Event("change", {{ bubbles: true }}));
            }})()"""
        )


@pytest.mark.slow
def test_a_filter_narrows_every_table_and_counts_its_rows(browser, committed, committed_page):
    browser.show(committed_page, LAPTOP)
    everything = {table: browser.value(VISIBLE % table) for table in browser.value(TABLES)}
    chosen(browser, gpu="h100", quant="awq")
    expected = [f"floor-{row.anchor}" for row in committed.valid if (row.gpu, row.quant) == ("h100", "awq")]
    assert browser.value(VISIBLE % "table-floor") == expected
    assert 0 < len(expected) < len(everything["table-floor"])
    count = browser.value("document.querySelector('#table-floor .count').textContent")
    assert count == f" ({len(expected)} of {len(committed.valid)} rows)"
    assert browser.value(VISIBLE % "table-graphs") == []
    chosen(browser, gpu="h200", quant="bf16", runtime="graph")
    assert browser.value(VISIBLE % "table-graphs") == everything["table-graphs"]  # either arm counts
    runtimes = {
        row.runtime for row in committed.valid if f"floor-{row.anchor}" in browser.value(VISIBLE % "table-floor")
    }
    assert runtimes == {"graph"}
    browser.value("document.querySelector('#filters button').click()")
    browser.value("new Promise((done) => setTimeout(done))")
    assert {table: browser.value(VISIBLE % table) for table in everything} == everything
    assert browser.value("document.querySelector('#table-floor .count').textContent") == ""


@pytest.mark.slow
def test_a_filter_keeps_its_effect_on_sorted_rows(browser, committed_page):
    browser.show(committed_page, LAPTOP)
    chosen(browser, model="mistral-7b")
    before = browser.value(VISIBLE % "table-floor")
    clicked(browser, "table-floor", "ms/step")
    after = browser.value(VISIBLE % "table-floor")
    assert before != after
    assert sorted(before) == sorted(after)


ON_SCREEN = """(() => {
  const box = document.getElementById(location.hash.slice(1)).getBoundingClientRect();
  return box.height > 0 && box.top >= 0 && box.bottom <= innerHeight;
})()"""
SETTLED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.mark.slow
@pytest.mark.parametrize("width", [PHONE, LAPTOP])
@pytest.mark.parametrize("is_filtered", [False, True])
def test_each_answer_leads_to_its_row_even_if_a_filter_hides_it(browser, committed_page, width, is_filtered):
    browser.show(committed_page, width)
    count = browser.value("document.querySelectorAll('#answers a').length")
    assert count > 5
    for place in range(count - 1):  # the last one explains the flags
        if is_filtered:
            chosen(browser, model="mistral-7b")
        browser.value(f"document.querySelectorAll('#answers a')[{place}].click()")
        browser.value(SETTLED)
        assert browser.value(ON_SCREEN)
        text = browser.value(f"document.querySelectorAll('#answers a')[{place}].textContent")
        row = browser.value("document.getElementById(location.hash.slice(1)).textContent")
        said = browser.value(f"document.querySelectorAll('#answers a')[{place}].closest('li').textContent")
        is_unpaired = "not an A/B" in said and re.search(r"graph ([0-9.]+) ms", said)[1] in row
        assert text.split(" ")[0].rstrip("×") in row or text.endswith("%") or is_unpaired


@pytest.mark.slow
def test_long_lists_of_rejected_sessions_are_folded(made_of):
    html = html_of(replace(made_of([example_record(), too_fast()]), left_out=tuple(f"cut-{n}.json" for n in range(9))))
    folded = re.findall(r"<details class=.lines.>\n<summary>(.*?)</summary>", html)
    assert folded == ["Invalid or not measured (1)", "Left out because of a fault (9)"]
    short = html_of(replace(made_of([example_record()]), left_out=("cut.json",)))
    assert '<details class="lines" open>\n<summary>Left out because of a fault (1)</summary>' in short


@pytest.mark.slow
def test_without_its_script_the_page_shows_all_rows_and_no_filters(browser, committed, committed_page):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.show(committed_page, LAPTOP)
        assert len(browser.value(VISIBLE % "table-floor")) == len(committed.valid)
        assert browser.value("document.querySelector('#filters').getBoundingClientRect().height") == 0
        browser.value("document.querySelector('#table-floor-all').checked = true")
        assert len(browser.value(SHOWN % "#table-floor")) > 10
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


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
    assert clicked(browser, "table-graphs", "ctx") == ["2048", "2048", "16384"]
