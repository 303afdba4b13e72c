"use strict";
// A click on a column head (a button, so also Enter or the space bar) sorts the table by it; a second click reverses the
// order. Numbers are sorted by value; rows without a value stay last in both orders.
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
addEventListener("beforeprint", () => {
  for (const closed of document.querySelectorAll("details")) closed.open = true;
});
