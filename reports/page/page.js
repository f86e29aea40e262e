"use strict";

const data = JSON.parse(document.getElementById("data").textContent);

// A button of its own around parts of a cell, such as all that the cell says.
function buttonAround(parts, act) {
  const button = document.createElement("button");
  button.type = "button";
  parts[0].before(button);
  button.append(...parts);
  button.addEventListener("click", act);
  return button;
}

function buttonIn(cell, act) {
  return buttonAround([...cell.childNodes], act);
}

// ---------------------------------------------------------------------------------------------
// Sorting: by value where a column has numbers, what has none comes last; a third click restores the order.

const NEXT = { none: "ascending", ascending: "descending", descending: "none" };

function compare(a, b, numeric) {
  if (!numeric) return a.text.localeCompare(b.text, "en", { numeric: true });
  if (a.sort === undefined || b.sort === undefined) return (a.sort === undefined) - (b.sort === undefined);
  return Number(a.sort) - Number(b.sort);
}

function sortBy(table, column, heading) {
  const order = NEXT[heading.getAttribute("aria-sort")];
  for (const other of heading.parentNode.children) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", order);
  const numeric = heading.classList.contains("numeric");
  const rows = [...table.tBodies[0].rows].map((row) => {
    const cell = row.cells[column];
    return { row, at: Number(row.dataset.at), sort: cell.dataset.sort, text: cell.textContent };
  });
  const sign = order === "descending" ? -1 : 1;
  rows.sort((a, b) => {
    if (order === "none") return a.at - b.at;
    const missing = numeric && (a.sort === undefined || b.sort === undefined);
    return (missing ? 1 : sign) * compare(a, b, numeric) || a.at - b.at;
  });
  table.tBodies[0].append(...rows.map((each) => each.row));
}

function makeSortable(table) {
  [...table.tBodies[0].rows].forEach((row, at) => { row.dataset.at = at; });
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    if (!heading.textContent) return;
    heading.setAttribute("aria-sort", "none");
    buttonIn(heading, () => sortBy(table, column, heading));
  });
}

// ---------------------------------------------------------------------------------------------
// Filtering: a row stays where it has every word that was typed.

function filter(rows, typed, said) {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    shown += !row.hidden;
  }
  said.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
}

function makeFilterable(details, fewest = 8) {
  const rows = [...details.querySelectorAll("tbody tr")];
  if (rows.length < fewest) return;
  const tools = document.createElement("div"), label = document.createElement("label");
  const input = document.createElement("input"), said = document.createElement("output");
  tools.className = "tools";
  label.textContent = "Filter rows";
  input.type = "search";
  input.placeholder = "words, e.g. diffae";
  input.addEventListener("input", () => filter(rows, input.value, said));
  label.append(input);
  tools.append(label, said);
  details.querySelector(".scroll").before(tools);
}

// ---------------------------------------------------------------------------------------------
// A number opens what is known of it. The arrow keys go from number to number: one stop of the Tab key a table.

const dialog = document.getElementById("number");

function row(name, text) {
  const div = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
  dt.textContent = name;
  dd.textContent = text;
  div.append(dt, dd);
  return div;
}

function open(index) {
  const { name, protocol, ...rest } = data.numbers[index];
  document.getElementById("number-name").textContent = name;
  const rows = Object.entries(rest).map(([field, text]) => row(field, text));
  document.getElementById("number-rows").replaceChildren(...rows);
  const shown = (data.protocols[protocol] || []).map(([field, text]) => row(field, text));
  const id = row("protocol", protocol || "none recorded");
  document.getElementById("number-protocol").replaceChildren(id, ...shown);
  dialog.showModal();
}

function makeOpenable(table) {
  const cells = [...table.querySelectorAll("[data-number]")];
  cells.forEach((cell, at) => {
    const button = buttonIn(cell, () => open(Number(cell.dataset.number)));
    button.tabIndex = at ? -1 : 0;
    button.setAttribute("aria-haspopup", "dialog");
  });
  table.tBodies[0].addEventListener("keydown", move);
}

function move(event) {
  const cell = event.target.closest("[data-number]");
  const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
  if (!cell || !step) return;
  const next = neighbour(cell, step[0], step[1]);
  if (!next) return;
  event.preventDefault();
  cell.querySelector("button").tabIndex = -1;
  next.querySelector("button").tabIndex = 0;
  next.querySelector("button").focus();
}

function neighbour(cell, down, right) {
  let row = cell.parentNode, column = cell.cellIndex;
  for (;;) {
    if (down) row = down > 0 ? row.nextElementSibling : row.previousElementSibling;
    column += right;
    const found = row && row.cells[column];
    if (!found) return null;
    if (!row.hidden && found.dataset.number !== undefined) return found;
  }
}

for (const each of document.querySelectorAll("dialog")) {
  each.addEventListener("click", (event) => { if (event.target === each) each.close(); });
}

// ---------------------------------------------------------------------------------------------
// Pictures: each is in the page once, and is copied to where it is shown again. A click shows the whole.

const sources = {};
const images = [...document.querySelectorAll("img[data-image]")];
for (const image of images) if (image.hasAttribute("src")) sources[image.dataset.image] = image.src;
for (const image of images) if (!image.hasAttribute("src")) image.src = sources[image.dataset.image];

function showWhole(image, source) {
  const picture = document.getElementById("picture"), whole = document.createElement("img");
  whole.src = source;
  whole.alt = image.alt;
  picture.querySelectorAll("img").forEach((old) => old.remove());
  document.getElementById("picture-name").textContent = image.alt || "One of the images";
  picture.append(whole);
  picture.showModal();
}

for (const image of images) {
  const source = image.dataset.wholeSrc || sources[image.dataset.whole];
  if (!source) continue;
  const button = buttonAround([image], () => showWhole(image, source));
  if (!image.alt) button.setAttribute("aria-label", "An image at full size");
}

// ---------------------------------------------------------------------------------------------
// What a metric is: on hover by its title, and at the foot of the window where its button has the focus.

const tip = document.createElement("p");
tip.className = "tip";
tip.setAttribute("role", "status");
tip.hidden = true;
document.body.append(tip);

addEventListener("focusin", (event) => {
  const name = event.target.querySelector(":scope > abbr");
  tip.textContent = name ? name.title : "";
  tip.hidden = !name;
});
addEventListener("focusout", () => { tip.hidden = true; });

// ---------------------------------------------------------------------------------------------
// What is wider than the page says so, and fades where it goes on.

function showEdges(region) {
  const hidden = region.scrollWidth - region.clientWidth;
  region.classList.toggle("wider", hidden > 1);
  region.classList.toggle("more-left", region.scrollLeft > 1);
  region.classList.toggle("more-right", region.scrollLeft < hidden - 1);
}

function makeEdgesShow(region) {
  region.addEventListener("scroll", () => showEdges(region));
  new ResizeObserver(() => showEdges(region)).observe(region);
}

// ---------------------------------------------------------------------------------------------

function unfold(target) {
  for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
}

addEventListener("hashchange", () => unfold(document.getElementById(location.hash.slice(1))));
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details.more, details.table, details.about, details.pictures")) details.open = true;
});

for (const details of document.querySelectorAll("details.table")) {
  makeFilterable(details);
  for (const table of details.querySelectorAll("table")) {
    makeSortable(table);
    makeOpenable(table);
  }
}
for (const table of document.querySelectorAll("table.headlines")) makeOpenable(table);
document.querySelectorAll(".scroll").forEach(makeEdgesShow);
unfold(document.getElementById(location.hash.slice(1)));
