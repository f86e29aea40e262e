// ---------------------------------------------------------------------------------------------
// The board: choose data, protocol and metric; rank; compare two systems.

const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes = {}, ...children) {
  const made = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const option = (text, value) => element("option", { value }, text);
const chosenContests = () => data.groups[byId("group").value];
const chosenContest = () => chosenContests()[byId("metric").value];

// ---------------------------------------------------------------------------------------------
// Differences. Rivals come best first; `pairs` has [size, size with error, how sure] of rivals j < i at i (i - 1) / 2 + j.

const value = (rival) => rival.at[1];
const competing = (contest) => contest.rivals.filter((rival) => !rival.reference);

function difference({ rivals, pairs }, a, b) {
  const [j, i] = [rivals.indexOf(a), rivals.indexOf(b)].sort((x, y) => x - y);
  const [size, text, word] = pairs[(i * (i - 1)) / 2 + j];
  return { size, text, word, ahead: size ? rivals[j] : null };
}

// ---------------------------------------------------------------------------------------------
// Tables made here

function fill(section, headings, rows) {
  const table = section.querySelector("table");
  const made = table.cloneNode(false), head = element("tr");
  for (const [text, numeric] of headings) head.append(element("th", { scope: "col", class: numeric ? "numeric" : "" }, text));
  made.append(table.caption, element("thead", {}, head), element("tbody", {}, ...rows));
  table.replaceWith(made);
  makeSortable(made);
  makeOpenable(made);
  for (const tools of section.querySelectorAll(".tools:has([type=search])")) tools.remove();
  makeFilterable(section, 4);
}

const shortest = (number) => number.toLocaleString("en", { maximumSignificantDigits: 6 });
const textCell = (text) => element("td", {}, text);

function numberCell(number, shown, index) {
  const cell = element("td", { class: "numeric" }, element("span", { class: "one" }, shown));
  if (number !== null && number !== undefined) cell.dataset.sort = number;
  if (index !== undefined) cell.dataset.number = index;
  return cell;
}

function valueCell(rival) {
  const cell = numberCell(value(rival), rival.text, rival.number);
  if (rival.best) cell.replaceChildren(element("strong", { class: "one" }, rival.text));
  if (rival.error) cell.append(element("span", { class: "one error" }, rival.error));
  return cell;
}

function barCell(rival, low, high) {
  const [from, own, to] = rival.at.map((x) => `${high > low ? (100 * (x - low)) / (high - low) : 50}%`);
  const colour = rival.reference ? "soft" : "s0";
  return element("td", { class: "bar" }, element(
    "svg:svg", { class: `line fill-${colour} stroke-${colour}`, "aria-hidden": "true" },
    element("svg:line", { class: "stroke-rule", x2: "100%", y1: 10, y2: 10 }),
    element("svg:line", { x1: from, x2: to, y1: 10, y2: 10, "stroke-width": 2 }),
    element("svg:circle", { cx: own, cy: 10, r: 5 }),
  ));
}

function rank() {
  const contest = chosenContest(), order = contest.rivals, best = competing(contest)[0] ?? order[0];
  const low = Math.min(...order.map((rival) => rival.at[0])), high = Math.max(...order.map((rival) => rival.at[2]));
  const sizes = data.sizes.flatMap((_, i) => (order.some((rival) => rival.sizes[i] !== null) ? [i] : []));
  let place = 0;
  const rows = order.map((rival) => {
    const behind = rival === best ? { text: "", word: "best" } : difference(contest, best, rival);
    const side = behind.ahead === rival ? "better by " : "";
    const entry = rival.entry ? element("a", { href: `#e-${rival.entry}` }, rival.entry) : "";
    const sizeCell = (i) => numberCell(rival.sizes[i], rival.sizes[i] === null ? "" : shortest(rival.sizes[i]));
    place += !rival.reference;
    return element(
      "tr", {}, element("th", { scope: "row" }, rival.label), ...sizes.slice(0, 1).map(sizeCell),
      rival.reference ? numberCell(null, "") : numberCell(place, `${place}`),
      valueCell(rival), numberCell(rival.n, rival.n?.toLocaleString("en") ?? ""), barCell(rival, low, high),
      numberCell(behind.size ?? 0, side + behind.text), textCell(behind.word),
      ...sizes.slice(1).map(sizeCell), element("td", {}, entry),
    );
  });
  byId("ranking-caption").textContent = `${contest.table}: ${contest.name}`;
  const headings = [["place", 1], ["value", 1], ["n", 1], ["95 % interval"], ["behind the best", 1], ["how sure"]];
  const [size, ...others] = sizes.map((i) => [data.sizes[i], 1]);
  fill(byId("ranking"), [["system"], ...(size ? [size] : []), ...headings, ...others, ["entry"]], rows);
}

// ---------------------------------------------------------------------------------------------
// Two systems

function compareTwo() {
  const names = [byId("first").value, byId("second").value];
  const rows = [];
  for (const contest of chosenContests()) {
    const [a, b] = names.map((name) => competing(contest).find((rival) => rival.system === name));
    if (!a || !b || a === b) continue;
    const { size, text, word, ahead } = difference(contest, a, b);
    rows.push(element(
      "tr", {}, element("th", { scope: "row" }, contest.name), textCell(contest.table), valueCell(a), valueCell(b),
      numberCell(size, text), textCell(ahead?.system ?? "neither"), textCell(word),
    ));
  }
  fill(byId("compare"), [["metric"], ["table"], [names[0], 1], [names[1], 1], ["difference", 1], ["ahead"], ["how sure"]], rows);
}

// ---------------------------------------------------------------------------------------------

function chooseGroup() {
  const contests = chosenContests(), groups = new Map();
  contests.forEach((contest, i) => {
    if (!groups.has(contest.table)) groups.set(contest.table, element("optgroup", { label: contest.table }));
    groups.get(contest.table).append(option(contest.name, i));
  });
  byId("metric").replaceChildren(...groups.values());
  const systems = [...new Set(contests.flatMap((contest) => competing(contest).map((rival) => rival.system)))];
  for (const id of ["first", "second"]) byId(id).replaceChildren(...systems.map((name) => option(name, name)));
  byId("second").selectedIndex = Math.min(1, systems.length - 1);
  document.querySelectorAll(".group").forEach((section, i) => { section.hidden = i !== Number(byId("group").value); });
  rank();
  compareTwo();
}

byId("group").addEventListener("change", chooseGroup);
byId("metric").addEventListener("change", rank);
for (const id of ["first", "second"]) byId(id).addEventListener("change", compareTwo);
for (const id of ["choice", "ranking", "compare"]) byId(id).hidden = false;
chooseGroup();
