"use strict";
// A click on a column's head (or Enter, or the space bar: it is a button) sorts the table by it, a second one the other way
// round. Numbers are sorted by value; where there is nothing, the row stays last either way.
const NOTHING = "–";
const words = new Intl.Collator("en", { numeric: true });

function valueOf(row, place, isNumber) {
  const text = row.cells[place].textContent.trim();
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
// A window narrower than a figure shows it as a whole; a tap on it (or a key) shows it large, in a box to scroll in.
for (const picture of document.querySelectorAll("figure button")) {
  picture.addEventListener("click", () => {
    picture.setAttribute("aria-pressed", picture.getAttribute("aria-pressed") === "true" ? "false" : "true");
  });
}
addEventListener("beforeprint", () => {
  for (const closed of document.querySelectorAll("details")) closed.open = true;
});
