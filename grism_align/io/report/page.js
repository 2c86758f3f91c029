"use strict";
const compared = (a, b, down) => {
  // What nobody knows stays below, whichever way it is sorted.
  if (a === "" || b === "") return (a === "") - (b === "");
  const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
  return down ? -order : order;
};
const turned = (head, heads) => {
  const down = head.getAttribute("aria-sort") === "ascending";
  heads.forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  return down;
};
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = turned(head, heads);
    const value = (row) => row.cells[column].dataset.sort;
    body.append(...[...body.rows].sort((first, second) => compared(value(first), value(second), down)));
  }));
}
for (const table of document.querySelectorAll("table.paged")) {
  const { page, kinds, rows } = JSON.parse(document.getElementById("rows").textContent);
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const [pager, find, back, on, place] = ["pager", "find", "back", "on", "place"].map((id) => document.getElementById(id));
  let shown = rows, at = 0;
  const element = (name, text, kind) => {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    made.textContent = text;
    return made;
  };
  const made = ([flags, ...texts]) => {
    const row = element("tr", "", flags & 1 ? "direct" : "grism");
    texts.forEach((text, column) => {
      const long = kinds[column] === "text" && text.length > 40 ? " long" : "";
      const cell = element(column ? "td" : "th", column === 1 ? "" : text, kinds[column] + long);
      if (column === 0) cell.scope = "row";
      if (column === 1) {
        const look = `status ${text.toLowerCase().replaceAll(" ", "_")}${flags & 2 ? " uncertain" : ""}`;
        cell.append(element("span", text, look));
      }
      row.append(cell);
    });
    return row;
  };
  const show = (first) => {
    at = first;
    const end = Math.min(at + page, shown.length);
    body.replaceChildren(...shown.slice(at, end).map(made));
    table.parentElement.scrollTop = 0;
    back.disabled = at === 0;
    on.disabled = end === shown.length;
    place.textContent = shown.length ? `${at + 1} to ${end} of ${shown.length}` : "none";
  };
  const value = (row, column) => {
    const text = row[column + 1];
    const bare = /number/.test(kinds[column]) ? text.replace("< ", "") : text.toLowerCase();
    return bare === "\u2013" ? "" : bare;
  };
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = turned(head, heads);
    const sorted = (some) => [...some].sort((first, second) => compared(value(first, column), value(second, column), down));
    rows.splice(0, rows.length, ...sorted(rows));
    search();
  }));
  const search = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const has = (row) => { const text = row.join(" ").toLowerCase(); return words.every((word) => text.includes(word)); };
    shown = words.length ? rows.filter(has) : rows;
    show(0);
  };
  find.addEventListener("input", search);
  back.addEventListener("click", () => show(Math.max(at - page, 0)));
  on.addEventListener("click", () => show(at + page));
  place.textContent = `1 to ${body.rows.length} of ${rows.length}`;
  back.disabled = true;
  pager.hidden = false;
}
