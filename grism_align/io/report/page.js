"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.sort;
    const unknown = (text) => text === "";
    const compare = (first, second) => {
      const [a, b] = [value(first), value(second)];
      // What nobody knows stays below, whichever way it is sorted.
      if (unknown(a) || unknown(b)) return unknown(a) - unknown(b);
      const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
      return down ? -order : order;
    };
    body.append(...[...body.rows].sort(compare));
  }));
}
