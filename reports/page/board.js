// ---------------------------------------------------------------------------------------------
// The board: choose data, protocol and metric; rank; draw trade-offs; compare two systems.

const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes = {}, ...children) {
  const made = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const option = (text, value) => element("option", { value }, text);
const chosenGroup = () => data.groups[byId("group").value];
const chosenContest = () => chosenGroup().contests[byId("metric").value];

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
  makeFilterable(section);
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
  if (rival.error) cell.append(element("span", { class: "one error" }, rival.error));
  return cell;
}

// A reference is a cross; systems of one colour are a circle, a triangle, a square and so on.
function mark({ reference, shape }, x, y, ...children) {
  const placed = element("svg:svg", { class: "mark", x, y, overflow: "visible" });
  const corners = Array.from({ length: shape + 2 }, (_, i) => 2 * Math.PI * (i / (shape + 2) - 0.25));
  const points = corners.map((angle) => [6 * Math.cos(angle), 6 * Math.sin(angle)].join()).join(" ");
  if (reference) placed.append(element("svg:path", { d: "M-4-4 4 4M-4 4 4-4", "stroke-width": 2 }, ...children));
  else if (shape) placed.append(element("svg:polygon", { class: "stroke-paper", points }, ...children));
  else placed.append(element("svg:circle", { class: "stroke-paper", r: 5 }, ...children));
  return placed;
}

function barCell(rival, low, high) {
  const at = (x) => `${high > low ? (100 * (x - low)) / (high - low) : 50}%`;
  const colour = rival.reference ? "soft" : `s${rival.colour}`;
  const [from, own, to] = rival.at.map(at);
  const drawing = element(
    "svg:svg", { class: `line fill-${colour} stroke-${colour}`, "aria-hidden": "true" },
    element("svg:line", { class: "stroke-rule", x2: "100%", y1: 10, y2: 10 }),
    element("svg:line", { x1: from, x2: to, y1: 10, y2: 10, "stroke-width": 2 }),
    mark(rival, own, 10),
  );
  return element("td", { class: "bar" }, drawing);
}

function rank() {
  const contest = chosenContest(), order = contest.rivals, best = competing(contest)[0] ?? order[0];
  const low = Math.min(...order.map((rival) => rival.at[0])), high = Math.max(...order.map((rival) => rival.at[2]));
  const traded = data.traded.flatMap((_, i) => (order.some((rival) => rival.traded[i] !== null) ? [i] : []));
  let place = 0;
  const rows = order.map((rival) => {
    const behind = rival === best ? { text: "", word: "best" } : difference(contest, best, rival);
    const side = behind.ahead === rival ? "better by " : "";
    const entry = rival.entry ? element("a", { href: `#e-${rival.entry}` }, rival.entry) : "";
    place += !rival.reference;
    return element(
      "tr", {}, element("th", { scope: "row" }, rival.label), numberCell(rival.reference ? null : place, rival.reference ? "" : `${place}`),
      valueCell(rival), numberCell(rival.n, rival.n?.toLocaleString("en") ?? ""), barCell(rival, low, high), numberCell(behind.size ?? 0, side + behind.text), textCell(behind.word),
      ...traded.map((i) => numberCell(rival.traded[i], rival.traded[i] === null ? "" : shortest(rival.traded[i]))),
      element("td", {}, entry),
    );
  });
  byId("ranking-caption").textContent = `${contest.table}: ${contest.name}`;
  const headings = [["system"], ["place", 1], ["value", 1], ["n", 1], ["95 % interval"], ["behind the best", 1], ["how sure"]];
  fill(byId("ranking"), [...headings, ...traded.map((i) => [data.traded[i], 1]), ["entry"]], rows);
}

// ---------------------------------------------------------------------------------------------
// Trade-offs: the chosen metric against the size of the code or the network calls, on a logarithmic axis

const LEFT = 70, RIGHT = 620, TOP = 12, BOTTOM = 285;

function ticks(low, high) {
  const step = 10 ** Math.floor(Math.log10((high - low) / 2 || 1));
  const every = [1, 2, 5, 10].map((n) => n * step).find((size) => (high - low) / size <= 6);
  const first = Math.ceil(low / every), count = Math.floor(high / every) - first + 1;
  return Array.from({ length: count }, (_, i) => Number(((first + i) * every).toPrecision(6)));
}

function label(x, y, text, anchor) {
  return element("svg:text", { class: "fill-soft", x, y, "text-anchor": anchor, "font-size": 12 }, text);
}

function trade() {
  const contest = chosenContest(), which = Number(byId("traded").value), name = data.traded[which];
  const places = competing(contest);
  const drawn = contest.rivals.filter((rival) => rival.traded[which] > 0);
  const plot = byId("trade-plot");
  byId("trade-caption").textContent = `${contest.name} against ${name}` + (drawn.length ? "; the figures are the places in the ranking" : ": no entry says");
  plot.replaceChildren();
  if (!drawn.length) return;
  const xs = drawn.map((rival) => rival.traded[which]);
  const [left, right] = [Math.log10(Math.min(...xs)) - 0.15, Math.log10(Math.max(...xs)) + 0.15];
  const [low, high] = [Math.min(...drawn.map((rival) => rival.at[0])), Math.max(...drawn.map((rival) => rival.at[2]))];
  const x = (number) => LEFT + ((RIGHT - LEFT) * (Math.log10(number) - left)) / (right - left);
  const y = (number) => BOTTOM - (BOTTOM - TOP) * (high > low ? 0.04 + (0.92 * (number - low)) / (high - low) : 0.5);
  for (const tick of ticks(low, high)) {
    plot.append(element("svg:line", { class: "stroke-rule", x1: LEFT, x2: RIGHT, y1: y(tick), y2: y(tick) }), label(LEFT - 8, y(tick) + 4, `${tick}`, "end"));
  }
  let before = -Infinity;
  for (const number of [...new Set(xs)].sort((a, b) => a - b)) {
    if (x(number) - before < 60) continue;
    before = x(number);
    plot.append(element("svg:line", { class: "stroke-rule", x1: before, x2: before, y1: TOP, y2: BOTTOM }), label(before, BOTTOM + 18, shortest(number), "middle"));
  }
  plot.append(label((LEFT + RIGHT) / 2, BOTTOM + 38, name, "middle"));
  for (const rival of drawn) {
    const [from, own, to] = rival.at.map(y), across = x(rival.traded[which]);
    const crowded = drawn.some((other) => {
      const [right, up] = [x(other.traded[which]) - across, y(value(other)) - own];
      return other !== rival && right >= 0 && right < 30 && Math.abs(up) < 10;
    });
    plot.append(element(
      "svg:g", { class: rival.reference ? "fill-soft stroke-soft" : `fill-s${rival.colour} stroke-s${rival.colour}` },
      element("svg:line", { x1: across, x2: across, y1: from, y2: to, "stroke-width": 1.5 }),
      mark(rival, across, own, element("svg:title", {}, `${rival.label}: ${rival.text}${rival.error}`)),
      label(across + (crowded ? -8 : 8), own + 4, rival.reference ? rival.system : `${places.indexOf(rival) + 1}`, crowded ? "end" : "start"),
    ));
  }
}

// ---------------------------------------------------------------------------------------------
// Two systems

function compareTwo() {
  const names = [byId("first").value, byId("second").value];
  const rows = [];
  for (const contest of chosenGroup().contests) {
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

function chooseMetric() {
  rank();
  trade();
}

function chooseGroup() {
  const { contests, opens } = chosenGroup(), groups = new Map();
  contests.forEach((contest, i) => {
    if (!groups.has(contest.table)) groups.set(contest.table, element("optgroup", { label: contest.table }));
    groups.get(contest.table).append(option(contest.name, i));
  });
  byId("metric").replaceChildren(...groups.values());
  byId("metric").value = opens;
  const systems = [...new Set(contests.flatMap((contest) => competing(contest).map((rival) => rival.system)))];
  for (const id of ["first", "second"]) byId(id).replaceChildren(...systems.map((name) => option(name, name)));
  byId("second").selectedIndex = Math.min(1, systems.length - 1);
  document.querySelectorAll(".group").forEach((section, i) => { section.hidden = i !== Number(byId("group").value); });
  chooseMetric();
  compareTwo();
}

byId("traded").replaceChildren(...data.traded.map((name, i) => option(name, i)));
byId("group").addEventListener("change", chooseGroup);
byId("metric").addEventListener("change", chooseMetric);
byId("traded").addEventListener("change", trade);
for (const id of ["first", "second"]) byId(id).addEventListener("change", compareTwo);
for (const id of ["choice", "ranking", "trade", "compare"]) byId(id).hidden = false;
chooseGroup();
