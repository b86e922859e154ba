// The page: state in the address, one computation per baseline, then everything is drawn from its rows.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const LIVE_BYTES_MIN = 1 << 20; // as analysis.py: below it resident memory says nothing
const WORDS = { time: ["faster", "slower"], footprint: ["smaller", "larger"] };
// Okabe and Ito's colours, told apart by colour-blind readers as well; each series has a shape or dash of its own too.
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#7A5195", "#000000"];
const SHAPES = ["circle", "triangle", "rect", "rectRot", "star", "crossRot", "cross", "dash"];
const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3], [1, 3], [12, 4], [4, 4], [3, 1]];

// ---- samples: columns to values ----

function column(cell, name) {
  const found = cell.samples[name];
  if (Array.isArray(found)) return found;
  return Array(cell.samples.count).fill(found === undefined ? null : found);
}

// Per good round: {round, seconds, ns, footprint}, computed as analysis.py does.
function samplesOf(cell) {
  const get = {};
  for (const name of ["round", "status", "seconds", "operations_counted", "live_peak_bytes", "rss_baseline_bytes",
    "rss_at_live_peak_bytes", "rss_peak_bytes"]) get[name] = column(cell, name);
  const found = [];
  for (let i = 0; i < cell.samples.count; i++) {
    if (get.status[i] !== "ok") continue;
    const live = get.live_peak_bytes[i], idle = get.rss_baseline_bytes[i], then = get.rss_at_live_peak_bytes[i];
    const told = live !== null && idle !== null && then !== null && live >= LIVE_BYTES_MIN && then >= idle;
    found.push({ round: get.round[i], seconds: get.seconds[i], ns: (get.seconds[i] * 1e9) / get.operations_counted[i],
      footprint: told ? (then - idle) / live : null, rssPeak: get.rss_peak_bytes[i] });
  }
  return found;
}

const entryOf = new Map(data.entries.map((e) => [e.name, e]));
const workloadOf = new Map(data.workloads.map((w) => [w.name, w]));
const control = data.entries.find((e) => e.role === "control");
const measured = data.entries.filter((e) => e.role === "baseline" || e.role === "backend").map((e) => e.name);
const colourOf = new Map(measured.map((name, i) => [name, COLOURS[i % COLOURS.length]]));
const shapeOf = new Map(measured.map((name, i) => [name, SHAPES[i % SHAPES.length]]));
const dashOf = new Map(measured.map((name, i) => [name, DASHES[i % DASHES.length]]));
const seeded = new Map(data.seeded_verdicts.map((v) => [v.backend, v]));

const rows = data.cells.filter((c) => c.role !== "harness").map((cell, order) => {
  const samples = cell.status === "ok" ? samplesOf(cell) : [];
  const values = (key) => samples.map((s) => s[key]).filter((v) => v !== null);
  const summary = (key) => (values(key).length ? { ...Stats.medianEstimate(values(key)), mad: Stats.mad(values(key)) } : null);
  const workload = workloadOf.get(cell.workload);
  const time = summary("ns"), cost = workload.harness_ns_per_op;
  return { order, cell, workload, samples, time, footprint: summary("footprint"),
    rssPeak: values("rssPeak").length ? Stats.median(values("rssPeak")) : null,
    share: time && cost !== null ? Math.max(0, 1 - cost / time.value) : null,
    shown: cell.role === "control" ? `${cell.backend.split("#")[0]} (A/A)` : cell.backend };
});
const rowOf = new Map(rows.map((r) => [`${r.cell.workload}\n${r.cell.backend}`, r]));
const at = (workload, backend) => rowOf.get(`${workload}\n${backend}`);

// ---- ratios to a baseline ----

function ratio(row, base, key) {
  if (!base || base.cell.status !== "ok" || row.cell.status !== "ok") return null;
  const theirs = new Map(base.samples.filter((s) => s[key] !== null).map((s) => [s.round, s[key]]));
  const pairs = row.samples.filter((s) => s[key] !== null && theirs.has(s.round)).map((s) => [s[key], theirs.get(s.round)]);
  if (!pairs.length || pairs.some(([a, b]) => a <= 0 || b <= 0)) return null;
  return Stats.pairedRatio(pairs.map((p) => p[0]), pairs.map((p) => p[1]));
}

// Sets each row's ratios and words. The A/A row stays what it is: the measured baseline against itself.
function compareTo(baseline) {
  for (const quantity of ["time", "footprint"]) {
    const key = quantity === "time" ? "seconds" : "footprint", family = [];
    for (const row of rows) {
      row[`${quantity}Ratio`] = null;
      const isControl = row.cell.role === "control";
      if (row.cell.backend === baseline) continue;
      const found = ratio(row, at(row.cell.workload, isControl ? data.baseline : baseline), key);
      row[`${quantity}Ratio`] = found;
      if (!found) continue;
      if (isControl) {
        found.pHolm = found.p;
        found.word = row.workload.noisy ? "NOISY" : "agrees";
      } else family.push(row);
    }
    const adjusted = Stats.holm(family.map((r) => r[`${quantity}Ratio`].p));
    family.forEach((row, i) => {
      const found = row[`${quantity}Ratio`];
      found.pHolm = adjusted[i];
      const floor = quantity === "time" ? row.workload.noise_floor : null;
      found.word = quantity === "time" && row.workload.noisy ? "noisy"
        : Stats.verdictWord(found, adjusted[i], floor, data.equivalence_margin, WORDS[quantity]);
    });
  }
}

const meanCache = new Map();
function means(baseline, quantity) {
  const key = `${baseline}\n${quantity}`;
  if (!meanCache.has(key)) meanCache.set(key, computeMeans(baseline, quantity));
  return meanCache.get(key);
}

function computeMeans(baseline, quantity) {
  if (baseline === data.baseline) return data.means.filter((m) => m.quantity === quantity);
  const found = [];
  for (const kind of new Set(data.workloads.map((w) => w.class))) {
    for (const backend of measured.filter((b) => b !== baseline)) {
      const tables = [], workloads = [], excluded = [];
      for (const w of data.workloads.filter((x) => x.class === kind)) {
        const row = at(w.name, backend), block = row && row[`${quantity}Ratio`];
        if (!block) excluded.push({ workload: w.name, why: !row || row.cell.status !== "ok" ? (row ? row.cell.status : "not measured")
          : at(w.name, baseline).cell.status !== "ok" ? "no baseline" : "not meaningful here" });
        else if (quantity === "time" && w.noisy) excluded.push({ workload: w.name, why: "noisy" });
        else { tables.push(block.logs); workloads.push(w.name); }
      }
      if (tables.length) found.push({ quantity, class: kind, backend, workloads, excluded, ...Stats.geometricMean(tables, data.seed) });
    }
  }
  return found;
}

// ---- how numbers look: as in exporters/words.py ----

const significant = new Intl.NumberFormat("en-US", { minimumSignificantDigits: 3, maximumSignificantDigits: 3, roundingMode: "halfEven" });
const fixed = (digits) => new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false, roundingMode: "halfEven" });
const three = fixed(3), two = fixed(2), none = fixed(0);
const number = (v) => (v === null || v === undefined ? "" : v === 0 ? "0" : significant.format(v));
const percent = (v) => (v === null ? "" : `${none.format(v * 100)}%`);
const mebibytes = (v) => (v === null ? "" : number(v / (1 << 20)));
const interval = (e, show) => (e.low === null ? "" : `[${show(e.low)}, ${show(e.high)}]`);

// ---- state and address ----

const DEFAULTS = { baseline: data.baseline, quantity: "time", class: "", verdict: "", filter: "", hide: "", sort: "", dir: "", front: "", open: "",
  "time-line": "", latency: "", scaling: "", frag: "", traces: "" };
let state = { ...DEFAULTS };

function readAddress() {
  const found = { ...DEFAULTS };
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) if (key in found) found[key] = value;
  if (!measured.includes(found.baseline)) found.baseline = data.baseline;
  if (!(found.quantity in WORDS)) found.quantity = "time";
  if (found.sort && !COLUMNS.some((c) => c.key === found.sort)) found.sort = "";
  state = found;
}

function writeAddress() {
  const words = new URLSearchParams();
  for (const key of Object.keys(DEFAULTS)) if (state[key] !== DEFAULTS[key]) words.set(key, state[key]);
  const hash = words.toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

function set(change) {
  Object.assign(state, change);
  writeAddress();
  draw();
}

// ---- making elements ----

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((c) => c !== null && c !== undefined && c !== ""));
  return made;
}

function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// ---- the table ----

const block = (row) => row[`${state.quantity}Ratio`];
const verdictOf = (row) => {
  if (row.cell.status !== "ok") return row.cell.status;
  if (row.cell.backend === state.baseline) return "baseline";
  return block(row) ? block(row).word : state.quantity === "footprint" && !row.footprint ? "too little live" : "no baseline";
};

const COLUMNS = [
  { key: "workload", title: "workload", value: (r) => r.cell.workload },
  { key: "backend", title: "backend", value: (r) => r.shown },
  { key: "correct", title: "oracle", value: (r) => badge(r).text },
  { key: "ns", title: "ns/op", number: true, value: (r) => (r.time ? r.time.value : null) },
  { key: "ratio", title: "ratio", number: true, value: (r) => (block(r) ? block(r).value : r.cell.status === "ok" && r.cell.backend === state.baseline ? 1 : null) },
  { key: "bar", title: "interval", plain: true },
  { key: "word", title: "verdict", value: verdictOf },
  { key: "share", title: "share", hint: "the allocator's share: time not spent by the harness itself", number: true, value: (r) => r.share },
  { key: "footprint", title: "rss / live", number: true, value: (r) => (r.footprint ? r.footprint.value : null) },
  { key: "rss", title: "peak RSS, MiB", number: true, value: (r) => r.rssPeak },
];

// What the oracle says of this backend: on this very trace, or else on random operations.
function badge(row) {
  const subject = row.cell.role === "control" ? at(row.cell.workload, data.baseline).cell : row.cell; // the same library
  const here = subject.verdict, other = seeded.get(row.cell.backend.split("#")[0]);
  if (here) {
    const item = subject.verdict_item ? ` ${subject.verdict_item}` : "";
    const text = here === "clean" ? "✓ clean" : `✗ ${here}${item}`;
    const more = here === "clean" && other && other.verdict !== "clean" ? `, ✗ ${other.item || other.verdict} on random operations` : "";
    return { text: text + (more ? "*" : ""), kind: here === "clean" ? "clean" : "broken", title: `the oracle on this trace: ${here}${item}${more}` };
  }
  if (!other) return { text: "not asked", kind: "", title: "the oracle was not asked" };
  const item = other.item ? ` ${other.item}` : "";
  return { text: other.verdict === "clean" ? "✓ random" : `✗ random${item}`, kind: other.verdict === "clean" ? "clean" : "broken",
    title: `the oracle on random operations: ${other.verdict}${item}${other.detail ? `: ${other.detail}` : ""}` };
}

const hidden = () => new Set(state.hide ? state.hide.split(",") : []);

function visible() {
  const gone = hidden(), wanted = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found = rows.filter((r) => !gone.has(r.cell.backend) && (!state.class || r.workload.class === state.class)
    && (!state.verdict || verdictOf(r) === state.verdict)
    && wanted.every((w) => `${r.cell.workload} ${r.shown} ${r.workload.class}`.toLowerCase().includes(w)));
  const by = COLUMNS.find((c) => c.key === state.sort);
  if (!by) return found;
  const sign = state.dir === "desc" ? -1 : 1, empty = (v) => v === null || v === undefined || v === "";
  return found.map((r) => [by.value(r), r]).sort(([a, ra], [b, rb]) => {
    if (empty(a) || empty(b)) return empty(a) - empty(b) || ra.order - rb.order; // no number: last, either way
    const d = typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    return sign * d || ra.order - rb.order;
  }).map(([, r]) => r);
}

function sortBy(key) {
  if (state.sort !== key) set({ sort: key, dir: "" });
  else if (!state.dir) set({ dir: "desc" });
  else set({ sort: "", dir: "" });
}

function drawHead(reach) {
  $("cells").tHead.replaceChildren(element("tr", {}, ...COLUMNS.map((c) => {
    const title = c.key === "ratio" ? `${state.quantity === "time" ? "time" : "memory"} / ${state.baseline}` : c.title;
    if (c.plain) return element("th", { scope: "col", title: "logarithmic; the line in the middle is 1, the shade around it the noise floor" }, `interval, ÷${number(reach)} … ×${number(reach)}`);
    const sorted = state.sort === c.key ? (state.dir ? "descending" : "ascending") : "none";
    return element("th", { scope: "col", class: c.number ? "number" : null, "aria-sort": sorted, "data-key": c.key, "data-title": title, title: c.hint },
      element("button", { type: "button", onclick: () => { sortBy(c.key); $("cells").querySelector(`th[data-key="${c.key}"] button`).focus(); } }, title));
  })));
}

// One scale for all bars, so that they compare down the page: as wide as three in four need. What lies beyond is cut at the
// edge and has an arrow.
function barReach(shown) {
  const far = shown.map(block).filter(Boolean).map((b) => Math.max(...[b.low ?? b.value, b.high ?? b.value].map((v) => Math.abs(Math.log(v))))).sort((a, b) => a - b);
  return Math.exp(Math.max(Math.log(1.05), far[Math.floor(far.length * .75)] ?? 0));
}

const barScale = (reach) => (v) => 100 + 92 * Math.max(-1, Math.min(1, Math.log(v) / Math.log(reach)));

const FILL = { faster: "#0a62a5", smaller: "#0a62a5", slower: "#b04a00", larger: "#b04a00" };

function bar(row, scale) {
  const b = block(row);
  if (!b) return "";
  const fill = FILL[b.word] || "#7a8592", floor = row.workload.noise_floor;
  const label = `${three.format(b.value)}${b.low === null ? "" : `, between ${three.format(b.low)} and ${three.format(b.high)}`}: ${b.word}`;
  const parts = [svg("title", {}, label)];
  if (state.quantity === "time" && floor !== null) {
    const left = scale(1 / (1 + floor)), right = scale(1 + floor);
    parts.push(svg("rect", { x: left, y: 0, width: Math.max(.5, right - left), height: 20, fill: "#e8eaed" }));
  }
  parts.push(svg("line", { x1: 100, x2: 100, y1: 0, y2: 20, stroke: "#5a6675", "stroke-width": 1 }));
  if (b.low !== null) parts.push(svg("rect", { x: scale(b.low), y: 7, width: Math.max(1, scale(b.high) - scale(b.low)), height: 6, fill, "fill-opacity": .55 }));
  const x = scale(b.value), side = x <= 8 ? -1 : x >= 192 ? 1 : 0; // at an edge: it points where the value lies
  parts.push(side ? svg("path", { d: `M${100 + 98 * side} 10 l${-9 * side} -5.5 v11 z`, fill }) : svg("circle", { cx: x, cy: 10, r: 4, fill }));
  return svg("svg", { class: "bar", viewBox: "0 0 200 20", preserveAspectRatio: "none", role: "img", "aria-label": label }, ...parts);
}

// A name that may break after each slash.
const breakable = (name) => name.split("/").flatMap((part, i) => (i ? ["/", element("wbr"), part] : [part]));

function cellRow(row, scale, first) {
  const { cell } = row, b = block(row), mark = badge(row), id = `${cell.workload}|${cell.backend}`;
  const put = (key, value, ...children) => {
    const c = COLUMNS.find((x) => x.key === key), blank = children.every((x) => x === "" || x === null);
    return element("td", { class: [c.number ? "number" : "", blank ? "absent" : ""].join(" ").trim() || null, "data-key": key,
      "data-label": c.key === "ratio" || c.key === "bar" ? `${c.title} to ${state.baseline}` : c.title, "data-value": value }, ...children);
  };
  const word = verdictOf(row), isBase = cell.status === "ok" && cell.backend === state.baseline;
  const shownRatio = isBase ? ["1"] : b ? [three.format(b.value), b.low === null ? "" : element("span", { class: "interval" }, ` ${interval(b, three.format)}`)] : [""];
  return element("tr", { class: [first ? "first" : "", cell.role].join(" ").trim(), "data-workload": cell.workload, "data-backend": cell.backend },
    put("workload", null, ...breakable(cell.workload)),
    put("backend", null, element("button", { type: "button", class: "open", "aria-expanded": String(state.open === id), title: "details, and the command that repeats this cell",
      onclick: () => { set({ open: state.open === id ? "" : id }); const again = document.querySelector(`tr[data-workload="${CSS.escape(cell.workload)}"][data-backend="${CSS.escape(cell.backend)}"] .open`); if (again) again.focus(); } }, row.shown)),
    put("correct", null, element("span", { class: `badge ${mark.kind}`, title: mark.title }, mark.text)),
    put("ns", row.time ? row.time.value : null, row.time ? number(row.time.value) : ""),
    put("ratio", b ? b.value : isBase ? 1 : null, ...shownRatio),
    put("bar", null, bar(row, scale)),
    put("word", null, element("span", { class: `word ${cell.status === "ok" ? word : "status"}`, title: cell.detail || null }, word)),
    put("share", row.share, percent(row.share)),
    put("footprint", row.footprint ? row.footprint.value : null, row.footprint ? two.format(row.footprint.value) : ""),
    put("rss", row.rssPeak, mebibytes(row.rssPeak)));
}

function detailRow(row) {
  const { cell } = row, b = block(row), facts = [];
  const fact = (name, text) => { if (text !== "" && text !== null && text !== undefined) facts.push(element("div", {}, element("dt", {}, name), element("dd", {}, text))); };
  if (cell.status !== "ok") fact("status", `${cell.status}: ${cell.detail}`);
  fact("oracle", badge(row).title);
  if (row.time) {
    fact("ns/op, interval", `${number(row.time.value)} ${interval(row.time, number)}`);
    fact("median absolute deviation", `${number(row.time.mad)} ns/op`);
    fact("rounds", String(row.samples.length));
  }
  if (b) {
    fact("p (sign test), after Holm", `${number(b.p)}, ${number(b.pHolm)}`);
    fact("Hodges-Lehmann ratio", three.format(b.hodgesLehmann));
    fact("Cliff's delta", two.format(b.cliffsDelta));
  }
  if (row.footprint) fact("rss / live, interval", `${two.format(row.footprint.value)} ${interval(row.footprint, two.format)}`);
  fact("noise floor of this workload", row.workload.noise_floor === null ? "" : percent(row.workload.noise_floor));
  fact("operations in a cell", row.workload.operations === null ? "" : row.workload.operations.toLocaleString("en-US"));
  const body = [element("dl", {}, ...facts)];
  if (row.samples.length > 1) body.push(strip(row));
  if (cell.command) body.push(element("div", {}, "Repeat this cell: ", copyButton(cell.command)), element("pre", { class: "command" }, element("code", {}, cell.command)));
  return element("tr", { class: "detail" }, element("td", { colspan: COLUMNS.length }, ...body));
}

// Every round's ns/op as a dot, in order: drift and outliers are seen at once.
function strip(row) {
  const values = row.samples.map((s) => s.ns), low = Math.min(...values), high = Math.max(...values), span = high - low || 1;
  const label = `ns/op by round, from ${number(low)} to ${number(high)}`;
  return element("figure", { style: "margin:.4rem 0" }, element("figcaption", { class: "interval" }, label),
    svg("svg", { viewBox: "0 0 400 44", width: 400, height: 44, style: "max-width:100%", role: "img", "aria-label": label },
      svg("line", { x1: 0, x2: 400, y1: 40 - 36 * (row.time.value - low) / span, y2: 40 - 36 * (row.time.value - low) / span, stroke: "#98a3b0" }),
      ...values.map((v, i) => svg("circle", { cx: 6 + (388 * i) / Math.max(1, values.length - 1), cy: 40 - 36 * (v - low) / span, r: 3, fill: "#0072B2" }))));
}

function copyButton(text) {
  return element("button", { type: "button", onclick: () => copy(text) }, "Copy");
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // file:// pages in some browsers
    const area = element("textarea", { style: "position:fixed;left:-99rem" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say("Copied.");
}

function say(text) {
  $("said").textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { $("said").textContent = ""; }, 3000);
}

function drawTable() {
  const shown = visible(), reach = barReach(shown), scale = barScale(reach), made = [];
  drawHead(reach);
  let before = null;
  for (const row of shown) {
    made.push(cellRow(row, scale, row.cell.workload !== before && !state.sort));
    if (state.open === `${row.cell.workload}|${row.cell.backend}`) made.push(detailRow(row));
    before = row.cell.workload;
  }
  if (!made.length) made.push(element("tr", {}, element("td", { colspan: COLUMNS.length, class: "empty" }, "Nothing matches; Reset shows everything.")));
  $("cells").tBodies[0].replaceChildren(...made);
  $("baseline-note").textContent = state.baseline === data.baseline ? ""
    : `Recomputed here with ${state.baseline} as the baseline. Only ${data.baseline} was run twice: the A/A rows and noise floors are its own.`;
}

// ---- means, heat map ----

function simpleTable(id, header, body, numeric) {
  const side = (i) => ({ class: numeric.includes(i) ? "number" : null });
  $(id).tHead.replaceChildren(element("tr", {}, ...header.map((h, i) => element("th", { scope: "col", ...side(i) }, h))));
  $(id).tBodies[0].replaceChildren(...body.map((cells) => element("tr", {}, ...cells.map((c, i) => element("td", side(i), c)))));
}

function drawMeans() {
  const found = means(state.baseline, state.quantity).filter((m) => !hidden().has(m.backend));
  $("means").hidden = !found.length;
  simpleTable("mean-table", ["class", "backend", `${state.quantity === "time" ? "time" : "memory"} / ${state.baseline}`, "workloads", "left out"],
    found.map((m) => [m.class, m.backend, `${three.format(m.value)} ${interval(m, three.format)}`.trim(), String(m.workloads.length),
      m.excluded.map((e) => `${e.workload} (${e.why})`).join(", ")]), [2, 3]);
}

function heatCell(row) {
  if (!row || row.cell.status !== "ok") return element("td", { class: "none" }, row ? row.cell.status : "");
  const b = block(row);
  if (row.cell.backend === state.baseline) return element("td", { class: "unproven" }, "1");
  if (!b) return element("td", { class: "none" }, "–");
  const better = WORDS[state.quantity][0] === b.word, worse = WORDS[state.quantity][1] === b.word;
  const depth = Math.min(1, Math.abs(Math.log2(b.value)) / 2); // full colour at a factor of 4
  const style = better ? `background:rgb(${Math.round(226 - 70 * depth)},${Math.round(239 - 36 * depth)},${Math.round(250 - 8 * depth)})`
    : worse ? `background:rgb(${Math.round(253 - 8 * depth)},${Math.round(236 - 66 * depth)},${Math.round(222 - 108 * depth)})` : null;
  return element("td", { class: better ? "better" : worse ? "worse" : "unproven", style, title: b.word, "data-value": b.value },
    `${better ? "◂ " : worse ? "▸ " : ""}${three.format(b.value)}`);
}

function drawHeat() {
  const gone = hidden(), columns = [...measured, ...(control ? [control.name] : [])].filter((n) => !gone.has(n));
  $("heat-map").tHead.replaceChildren(element("tr", {}, element("th", { scope: "col" }, `${state.quantity === "time" ? "time" : "memory"} / ${state.baseline}`),
    ...columns.map((n) => element("th", { scope: "col" }, n.endsWith("#aa") ? `${n.split("#")[0]} (A/A)` : n))));
  $("heat-map").tBodies[0].replaceChildren(...data.workloads.filter((w) => !state.class || w.class === state.class).map((w) =>
    element("tr", {}, element("th", { scope: "row" }, ...breakable(w.name)), ...columns.map((n) => heatCell(at(w.name, n))))));
}

// ---- charts ----

const charts = {};
Chart.defaults.animation = false;
Chart.defaults.maintainAspectRatio = false;
Chart.defaults.color = "#1d2733";
Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;

function chart(id, config) {
  if (charts[id]) charts[id].destroy();
  charts[id] = new Chart($(id), config);
}

const axis = (text, more = {}) => ({ title: { display: true, text }, ...more });
const series = (name) => ({ label: name, borderColor: colourOf.get(name), backgroundColor: colourOf.get(name), pointStyle: shapeOf.get(name),
  borderDash: dashOf.get(name), pointRadius: 5, pointBorderWidth: 2, borderWidth: 2 });

// Names beside the points, so that no legend needs looking up.
const names = {
  id: "names",
  afterDatasetsDraw(c) {
    c.data.datasets.forEach((set_, i) => {
      if (!set_.named) return;
      c.getDatasetMeta(i).data.forEach((p) => {
        const left = p.x > c.chartArea.right - 70;
        c.ctx.fillStyle = "#1d2733";
        c.ctx.textAlign = left ? "right" : "left";
        c.ctx.fillText(set_.label, p.x + (left ? -9 : 9), p.y - 8);
      });
    });
  },
};

// Time and memory of each backend to the baseline: of one workload, or geometric means of a class.
function frontPoints() {
  const [kind, name] = state.front.split(":"), gone = hidden();
  const value = (backend, quantity) => {
    if (backend === state.baseline) return 1;
    if (kind === "workload") return (at(name, backend)?.[`${quantity}Ratio`] || {}).value ?? null;
    return (means(state.baseline, quantity).find((m) => m.class === name && m.backend === backend) || {}).value ?? null;
  };
  return measured.filter((b) => !gone.has(b)).map((backend) => ({ backend, x: value(backend, "time"), y: value(backend, "footprint") }))
    .filter((p) => p.x !== null && p.y !== null);
}

function frontChoices() {
  const told = (w) => measured.some((b) => at(w.name, b)?.footprint);
  return [...new Set(data.workloads.filter(told).map((w) => w.class))].map((c) => [`class:${c}`, `all of class ${c}`])
    .concat(data.workloads.filter(told).map((w) => [`workload:${w.name}`, w.name]));
}

function drawFront() {
  const choices = frontChoices();
  $("front").hidden = !choices.length;
  if (!choices.length) return;
  if (!choices.some(([value]) => value === state.front)) state.front = DEFAULTS.front = choices[0][0];
  $("front-workload").replaceChildren(...choices.map(([value, text]) => element("option", { value, selected: value === state.front }, text)));
  const points = frontPoints();
  const best = points.filter((p) => !points.some((q) => q !== p && q.x <= p.x && q.y <= p.y && (q.x < p.x || q.y < p.y))).sort((a, b) => a.x - b.x);
  const room = (values) => { const low = Math.min(...values, 1), high = Math.max(...values, 1), pad = (high - low || .1) * .15; return { min: low - pad, max: high + pad, ticks: { callback: (v) => two.format(v) } }; };
  chart("front-chart", {
    type: "scatter", plugins: [names],
    data: { datasets: [...points.map((p) => ({ ...series(p.backend), data: [p], pointRadius: 7, named: true })),
      { label: "front", data: best, showLine: true, borderColor: "#98a3b0", borderDash: [4, 4], pointRadius: 0, borderWidth: 1.5 }] },
    options: { plugins: { legend: { display: false } }, scales: { x: axis(`time / ${state.baseline} (left is faster)`, room(points.map((p) => p.x))),
      y: axis(`memory / ${state.baseline} (lower is smaller)`, room(points.map((p) => p.y))) } } });
  $("front-text").textContent = `${points.map((p) => `${p.backend}: time ${three.format(p.x)}, memory ${three.format(p.y)}`).join("; ")}. On the front: ${best.map((p) => p.backend).join(", ")}.`;
}

function drawMemory() {
  const gone = hidden(), workloads = data.workloads.filter((w) => (!state.class || w.class === state.class) && measured.some((b) => at(w.name, b)?.footprint));
  $("memory").hidden = !workloads.length;
  if (!workloads.length) return;
  $("memory-chart").parentElement.style.height = `${Math.max(16, 7 + workloads.length * (1.1 + .55 * measured.length))}rem`;
  chart("memory-chart", { type: "bar",
    data: { labels: workloads.map((w) => w.name), datasets: measured.filter((b) => !gone.has(b)).map((b) => ({ label: b, backgroundColor: colourOf.get(b), maxBarThickness: 14,
      data: workloads.map((w) => at(w.name, b)?.footprint?.value ?? null) })) },
    options: { indexAxis: "y", scales: { x: axis("resident / requested bytes", { beginAtZero: true }) }, plugins: { legend: { position: "top" } } } });
}

// A section that is there only where the results hold its data; with a choice of workload, which is part of the address.
function optional(id, choices, render) {
  if (!$(id)) return;
  $(id).hidden = !choices.length;
  if (!choices.length) return;
  const select = $(`${id}-workload`), pairs = choices.map((c) => [c].flat()), values = pairs.map(([value]) => value);
  if (!select.options.length) {
    select.append(...pairs.map(([value, text]) => element("option", { value }, text ?? value)));
    select.addEventListener("change", () => set({ [id]: select.value === values[0] ? "" : select.value }));
  }
  select.value = values.includes(state[id]) ? state[id] : values[0];
  render(select.value);
}

const withKey = (key) => data.workloads.map((w) => w.name).filter((w) => measured.some((b) => at(w, b)?.cell[key]));

function drawLines(id, sets, x, y, more = {}) {
  chart(`${id}-chart`, { type: "line", data: { datasets: sets.map((s) => ({ ...series(s.name), pointRadius: s.data.length > 25 ? 0 : 5, ...s })) },
    plugins: [oversubscribed], options: { ...more, parsing: false, scales: { x: { type: "linear", ...x }, y }, plugins: { legend: { labels: { usePointStyle: true } } } } });
}

function drawOptional() {
  const here = () => measured.filter((b) => !hidden().has(b));
  optional("latency", withKey("latency_ns"), (w) => drawLines("latency", here().filter((b) => at(w, b)?.cell.latency_ns).map((b) => ({ name: b,
    data: Object.entries(at(w, b).cell.latency_ns).map(([p, v]) => ({ x: 1 / (1 - Math.min(p, 99.99999) / 100), y: v })).sort((p, q) => p.x - q.x) })),
  axis("percentile", { type: "logarithmic", ticks: { callback: (v) => (Number.isInteger(Math.log10(v)) ? `${+(100 - 100 / v).toPrecision(7)} %` : "") } }),
  axis("ns", { type: "logarithmic" })));
  const lineOf = (xs, bytes) => xs.map((x, i) => ({ x, y: bytes[i] / (1 << 20) }));
  const live = (xs, bytes) => ({ name: "live", label: "live (requested)", pointRadius: 0, pointStyle: "line", borderColor: "#c3cad1", borderDash: [], borderWidth: 4, order: 9, data: lineOf(xs, bytes) });
  optional("time-line", withKey("footprint_over_time"), (w) => drawLines("time-line", here().map((b) => [b, at(w, b)?.cell.footprint_over_time]).filter(([, f]) => f)
    .flatMap(([b, f], i) => [...(i ? [] : [live(f.seconds, f.live_bytes)]), { name: b, pointRadius: 0, data: lineOf(f.seconds, f.rss_bytes) }]), axis("seconds"), axis("resident, MiB", { beginAtZero: true })));
  optional("frag", [...new Set(data.frag.map((r) => r.adversary))].filter(Boolean), (name) => drawLines("frag", [
    ...here().map((b) => [b, data.frag.find((r) => r.backend === b && r.adversary === name && r.curve)]).filter(([, r]) => r)
      .map(([b, r]) => ({ name: b, pointRadius: 0, data: lineOf(r.curve.operation, r.curve.rss_bytes) })),
    ...data.frag.filter((r) => r.adversary === name && r.curve).slice(0, 1).map((r) => live(r.curve.operation, r.curve.live_bytes)),
  ], axis("operations", { ticks: { callback: (v) => v.toLocaleString("en-US") } }), axis("resident, MiB", { beginAtZero: true })));
  optional("traces", data.traces.map((t) => t.workload), (name) => {
    $("traces-picture").src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(data.traces.find((t) => t.workload === name).picture)}`;
    $("traces-picture").alt = `${name}: live bytes over operations, sizes requested, lifetimes; the main figures are in the table above`;
  });
  drawScaling(here());
}

// ---- scaling: curves of `bench --scaling`, and workloads that ran with several numbers of threads ----

const curves = data.scaling ? data.scaling.curves.filter((c) => c.points.length) : [];
const family = (name) => name.replace(/\/threads:\d+/, ""), threads = (name) => Number((name.match(/\/threads:(\d+)/) || [])[1]);
const members = (f) => data.workloads.filter((w) => family(w.name) === f && threads(w.name));
const families = [...new Set(data.workloads.map((w) => family(w.name)))].filter((f) => members(f).length > 1);
const ONE_TWO_FIVE = (v) => (["1", "2", "5"].includes(v.toExponential().split("e")[0]) ? number(v) : "");

// What lies beyond as many threads as processors is shaded.
const oversubscribed = {
  id: "oversubscribed",
  beforeDatasetsDraw(c) {
    const from = c.options.beyond, { left, right, top, bottom } = c.chartArea;
    if (!from) return;
    const x = Math.max(left, c.scales.x.getPixelForValue(from));
    if (x >= right) return;
    c.ctx.fillStyle = "rgba(120,130,145,.13)";
    c.ctx.fillRect(x, top, right - x, bottom - top);
    c.ctx.fillStyle = "#5a6675";
    c.ctx.textAlign = "right";
    c.ctx.fillText("more threads than processors", right - 6, top + 14);
  },
};

function drawScaling(shown) {
  const choices = [...new Set(curves.map((c) => c.name))].map((n) => [n, curves.find((c) => c.name === n).x_label])
    .concat(families.map((f) => [f, `threads: ${f}`]));
  optional("scaling", choices, (name) => (families.includes(name) ? drawFamily(name, shown) : drawCurve(curves.filter((c) => c.name === name
    && (c.role === "harness" || shown.includes(c.backend))))));
}

function drawFamily(name, shown) {
  $("scaling-note").textContent = "Operations a second of all threads together, of the cells in the table above.";
  $("scaling-table").hidden = true;
  drawLines("scaling", shown.map((b) => ({ name: b, data: members(name).filter((w) => at(w.name, b)?.time)
    .map((w) => ({ x: threads(w.name), y: 1e3 / at(w.name, b).time.value })).sort((p, q) => p.x - q.x) })),
  axis("threads", { ticks: { precision: 0 } }), axis("million operations a second", { beginAtZero: true }), { beyond: data.num_cpus });
}

function drawCurve(found) {
  const log = found[0].name !== "threads", spread = (p) => (p.low === null ? "" : ` [${number(p.low)}, ${number(p.high)}]`);
  const label = (c) => (c.role === "harness" ? "harness" : c.backend);
  const xs = [...new Set(found.flatMap((c) => c.points.map((p) => p.x)))].sort((a, b) => a - b);
  $("scaling-note").textContent = `ns of processor time per operation, median of ${data.scaling.rounds} rounds (heapgauge bench --scaling). `
    + (log ? "The exponent is the slope of the line: 0, the cost does not grow; 1, it grows as x does."
      : `The exponent is that of all operations per second, up to ${data.scaling.processors} threads: 1 is what one would like, 0 no gain.`)
    + " In brackets its exact 95% interval. Harness: a backend that does nothing.";
  const extra = { label: "harness", borderColor: "#98a3b0", backgroundColor: "#98a3b0", borderDash: [1, 2], pointStyle: "line" };
  drawLines("scaling", found.map((c) => ({ name: c.backend, ...(c.role === "harness" ? extra : {}),
    data: c.points.map((p) => ({ x: p.x, y: p.ns_per_op })) })),
  axis(found[0].x_label.endsWith(found[0].x_unit) ? found[0].x_label : `${found[0].x_label}, ${found[0].x_unit}`, log ? { type: "logarithmic", ticks: { callback: (v) => v.toLocaleString("en-US") },
    afterBuildTicks: (a) => { a.ticks = xs.map((value) => ({ value })); } } : { ticks: { precision: 0 } }),
  axis("ns per operation", log ? { type: "logarithmic", ticks: { callback: ONE_TWO_FIVE } } : { beginAtZero: true }), { beyond: log ? null : data.scaling.processors });
  $("scaling-table").hidden = false;
  simpleTable("scaling-table", ["backend", "exponent", ...xs.map((x) => x.toLocaleString("en-US"))], found.map((c) => [label(c),
    c.fit ? `${three.format(c.fit.exponent)} ${interval(c.fit, three.format)}`.trim() : "",
    ...xs.map((x) => { const p = c.points.find((q) => q.x === x); return p ? element("span", { title: number(p.ns_per_op) + spread(p) }, number(p.ns_per_op)) : ""; })]),
  [1, ...xs.map((_, i) => i + 2)]);
}

// ---- downloads ----

function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

const csv = (table) => table.map((line) => line.map((v) => (/[",\n]/.test(String(v ?? "")) ? `"${String(v).replaceAll('"', '""')}"` : v ?? "")).join(",")).join("\n") + "\n";

function samplesCsv() {
  const keys = ["round", "position", "status", "seconds", "cpu_seconds", "operations_counted", "minor_faults", "threads", "live_peak_bytes",
    "rss_baseline_bytes", "rss_at_live_peak_bytes", "rss_peak_bytes", "rss_end_bytes"];
  const table = [["workload", "backend", ...keys]];
  for (const cell of data.cells) {
    const get = keys.map((k) => column(cell, k));
    for (let i = 0; i < cell.samples.count; i++) table.push([cell.workload, cell.backend, ...get.map((g) => g[i])]);
  }
  return csv(table);
}

function viewCsv() {
  const kind = state.quantity === "time" ? "time" : "footprint";
  return csv([["workload", "backend", "status", "oracle", "ns_per_op_median", `${kind}_ratio_to_${state.baseline}`, "ratio_low", "ratio_high", "verdict",
    "allocator_share_fraction", "footprint_overhead_median", "rss_peak_bytes"],
  ...visible().map((r) => { const b = block(r); return [r.cell.workload, r.cell.backend, r.cell.status, badge(r).text, r.time?.value, b?.value, b?.low, b?.high, verdictOf(r), r.share, r.footprint?.value, r.rssPeak]; })]);
}

// ---- putting it together ----

function fill(id, options, value) {
  $(id).replaceChildren(...options.map(([v, text]) => element("option", { value: v }, text)));
  $(id).value = value;
}

function drawControls() {
  fill("baseline", measured.map((b) => [b, b]), state.baseline);
  $("quantity").value = state.quantity;
  fill("class", [["", "all"], ...[...new Set(data.workloads.map((w) => w.class))].map((c) => [c, c])], state.class);
  fill("sort", [["", "workload"], ...COLUMNS.filter((c) => !c.plain && c.key !== "workload").flatMap((c) => [[c.key, `${c.title} ▲`], [`${c.key}-desc`, `${c.title} ▼`]])],
    state.sort && state.dir ? `${state.sort}-${state.dir}` : state.sort);
  const words = [...new Set([...rows.map(verdictOf), ...(state.verdict ? [state.verdict] : [])])].sort();
  fill("verdict", [["", "all"], ...words.map((w) => [w, w])], state.verdict);
  if ($("filter").value !== state.filter) $("filter").value = state.filter;
  const gone = hidden();
  for (const box of $("backends").querySelectorAll("input")) box.checked = !gone.has(box.value);
}

let computedFor = null;
function draw() {
  if (computedFor !== state.baseline) {
    compareTo(state.baseline);
    computedFor = state.baseline;
  }
  drawControls();
  drawTable();
  drawMeans();
  drawHeat();
  drawCharts();
  for (const link of document.querySelectorAll("nav a")) link.hidden = $(link.dataset.to).hidden;
}

// Charts cost more than tables and are redrawn only when what they show changed.
let chartsFor = null;
const chartsKey = () => JSON.stringify(["baseline", "quantity", "class", "hide", "front", "time-line", "latency", "scaling", "frag", "traces"].map((k) => state[k]));
function drawCharts() {
  if (chartsKey() === chartsFor) return;
  drawFront();
  drawMemory();
  drawOptional();
  chartsFor = chartsKey();
}

function begin() {
  for (const name of [...measured, ...(control ? [control.name] : [])]) {
    $("backends").append(element("label", {}, element("input", { type: "checkbox", value: name, onchange: () => {
      set({ hide: [...$("backends").querySelectorAll("input")].filter((b) => !b.checked).map((b) => b.value).join(",") });
    } }), name.endsWith("#aa") ? "A/A" : name));
  }
  for (const id of ["baseline", "quantity", "class", "verdict"]) $(id).addEventListener("change", () => set({ [id]: $(id).value }));
  $("sort").addEventListener("change", () => { const [sort, dir] = $("sort").value.split("-"); set({ sort, dir: dir || "" }); });
  $("filter").addEventListener("input", () => set({ filter: $("filter").value }));
  $("front-workload").addEventListener("change", () => set({ front: $("front-workload").value }));
  $("reset").addEventListener("click", () => { state = { ...DEFAULTS }; writeAddress(); draw(); });
  $("link").addEventListener("click", () => copy(location.href));
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("save-samples").addEventListener("click", () => save("samples.csv", "text/csv", samplesCsv()));
  $("save-view").addEventListener("click", () => save("view.csv", "text/csv", viewCsv()));
  $("save-data").addEventListener("click", () => save("page.json", "application/json", JSON.stringify(data)));
  for (const section of document.querySelectorAll("section[data-title]")) {
    const go = (event) => { event.preventDefault(); section.scrollIntoView(); section.querySelector("h2").focus({ preventScroll: true }); };
    section.querySelector("h2").tabIndex = -1;
    document.querySelector("nav").append(element("a", { href: `#${section.id}`, "data-to": section.id, onclick: go }, section.dataset.title));
  }
  const bar = $("controls"); // sticks to the top but on a phone: a heading that is jumped to must not end beneath it
  new ResizeObserver(() => document.documentElement.style.setProperty("--bar", getComputedStyle(bar).position === "sticky" ? `${bar.offsetHeight}px` : "0px")).observe(bar);
  addEventListener("hashchange", () => { readAddress(); draw(); });
  readAddress();
  draw();
  document.documentElement.dataset.ready = "yes";
}

begin();
