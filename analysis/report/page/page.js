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
