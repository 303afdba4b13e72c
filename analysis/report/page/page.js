"use strict";
// A click on a column head (a button, so also Enter or the space bar) sorts the table by it; a second click reverses the
// order. Numbers are sorted by value; rows without a value stay last in both orders.
const NOTHING = "–";
const words = new Intl.Collator("en", { numeric: true });

function valueOf(row, place, isNumber) {
  const cell = row.cells[place];
  const detail = cell.querySelector("small")?.textContent ?? ""; // it follows the value
  const text = cell.textContent.slice(0, cell.textContent.length - detail.length).trim();
  if (text === NOTHING || text === "") return null;
  const value = isNumber ? parseFloat(text) : text;
  return Number.isNaN(value) ? null : value;
}

function sortBy(head) {
  const body = head.closest("table").tBodies[0];
  const isNumber = head.classList.contains("number");
  const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", turn === 1 ? "ascending" : "descending");
  const rows = Array.from(body.rows, (row) => ({ row, value: valueOf(row, head.cellIndex, isNumber) }));
  rows.sort((one, other) => {
    if (one.value === null || other.value === null) return (one.value === null) - (other.value === null);
    return turn * (isNumber ? one.value - other.value : words.compare(one.value, other.value));
  });
  body.replaceChildren(...rows.map((each) => each.row));
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sortBy(button.closest("th")));
}
// A deadline typed above a table marks and sorts its rows as the table's command would. The data of a row: it is too slow
// below the deadline `slow`, and meets it from `meets` on (null: nobody knows), in the words `word`, unless it `fails` or `lacks` something
// else. `place` is its place among rows of the same mark. `bounds` has steps of [deadline, missed share, upper bound].
const MEETS = 0, LACKS = 1, FAILS = 2;
const BOUNDED = "with a bounded tail";
const HOW = { yes: BOUNDED, "median only": "by their medians only", predicted: "as predicted" };

function ways(met) {
  const counts = Object.entries(HOW).map(([word, how]) => [met.filter((each) => each === word).length, how]);
  const shown = counts.filter(([count, how]) => count > 0 || how === BOUNDED);
  return `: ${shown.map(([count, how]) => `${count || "none"} ${how}`).join(", ")}`;
}

function judged(row, deadline) {
  const { slow, meets, word, fails, lacks } = row;
  if (deadline < slow) return [FAILS, "too slow"];
  if (fails) return [FAILS, fails];
  if (lacks) return [LACKS, lacks];
  return meets === null || deadline < meets ? [LACKS, "uncertain"] : [MEETS, word];
}

function significant(share) {
  return Number((100 * share).toPrecision(3)) + "\u00a0%";
}

function missed(bounds, deadline) {
  if (bounds.length === 0) return NOTHING;
  const [, share, upper] = bounds.findLast(([from]) => from <= deadline) ?? [0, 1, 1];
  return `${significant(share)} (≤ ${significant(upper)})`;
}

function judge(grid, deadline) {
  const table = grid.querySelector("table");
  const place = (key) => table.querySelector(`th[data-key="${key}"]`).cellIndex;
  const rows = Array.from(table.tBodies[0].rows, (row) => {
    const data = JSON.parse(row.dataset.typed);
    const [standing, word] = judged(data, deadline);
    row.cells[place("meets")].textContent = word;
    row.cells[place("miss_words")].textContent = missed(data.bounds, deadline);
    return { row, standing, word, place: data.place };
  });
  rows.sort((one, other) => one.standing - other.standing || one.place - other.place);
  for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
  table.tBodies[0].replaceChildren(...rows.map((each) => each.row));
  const met = rows.filter((each) => each.standing === MEETS).map((each) => each.word);
  return `${met.length} of ${rows.length} rows meet it${met.length > 0 ? ways(met) : ""}`;
}

for (const typed of document.querySelectorAll(".typed")) {
  const [input, output] = [typed.querySelector("input"), typed.querySelector("output")];
  input.disabled = false;
  input.addEventListener("input", () => {
    const deadline = input.valueAsNumber;
    output.textContent = deadline > 0 ? judge(typed.closest(".grid"), deadline) : "type a number above 0";
  });
  if (input.value !== input.defaultValue) input.dispatchEvent(new Event("input")); // kept from an earlier visit
}
// The filters hide rows of all tables. A row without a value for a filter is not hidden by it.
const filters = document.getElementById("filters");

function fits(row, choices) {
  return choices.every(([name, value]) => {
    const values = row.dataset[name];
    return values === undefined || values.split("|").includes(value);
  });
}

function filter() {
  const choices = Array.from(new FormData(filters)).filter(([, value]) => value !== "");
  for (const table of document.querySelectorAll("table")) {
    const rows = Array.from(table.tBodies[0].rows).filter((row) => Object.keys(row.dataset).length > 0);
    for (const row of rows) row.hidden = !fits(row, choices);
    const shown = rows.filter((row) => !row.hidden).length;
    const count = table.querySelector(".count");
    if (count !== null) count.textContent = shown === rows.length ? "" : ` (${shown} of ${rows.length} rows)`;
  }
}

// A link to a row shows it even if a filter hides it, together with the heads of its table.
function show(hash) {
  const row = hash.length > 1 ? document.getElementById(decodeURIComponent(hash.slice(1))) : null;
  if (row?.tagName !== "TR") return;
  row.hidden = false;
  row.closest(".scroll").scrollIntoView({ block: "start" });
  row.scrollIntoView({ block: "nearest" });
}

addEventListener("hashchange", () => show(location.hash));
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (link !== null) setTimeout(() => show(link.hash)); // after the browser followed the link
});
if (filters !== null) {
  filters.hidden = false;
  filters.addEventListener("change", filter);
  filters.addEventListener("reset", () => setTimeout(filter));
  filter(); // a browser may keep the choice of an earlier visit
}
show(location.hash);
addEventListener("beforeprint", () => {
  for (const closed of document.querySelectorAll("details")) closed.open = true;
});
