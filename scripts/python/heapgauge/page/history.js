// The history page: one chart and one table of the chosen workload and quantity; the choice stands in the address.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#7A5195", "#000000"];
const backends = [...new Set(data.series.map((s) => s.backend))];
const colour = (name) => COLOURS[backends.indexOf(name) % COLOURS.length];
const workloads = (quantity) => [...new Set(data.series.filter((s) => s.quantity === quantity).map((s) => s.workload))];
const label = (run) => (run.git_sha ? [run.name, run.git_sha.slice(0, 10)] : run.name);

let shown;
Chart.defaults.animation = false;
Chart.defaults.maintainAspectRatio = false;

// Intervals as whiskers behind the points.
const whiskers = {
  id: "whiskers",
  beforeDatasetsDraw(chart) {
    chart.data.datasets.forEach((set, i) => {
      chart.getDatasetMeta(i).data.forEach((point, run) => {
        const p = set.points[run];
        if (!p || p.low === null) return;
        const y = chart.scales.y;
        chart.ctx.strokeStyle = set.borderColor;
        chart.ctx.lineWidth = 1.5;
        chart.ctx.beginPath();
        chart.ctx.moveTo(point.x, y.getPixelForValue(p.low));
        chart.ctx.lineTo(point.x, y.getPixelForValue(p.high));
        chart.ctx.stroke();
      });
    });
  },
};

function draw() {
  const words = new URLSearchParams(location.hash.slice(1));
  const quantity = words.get("quantity") === "footprint" && workloads("footprint").length ? "footprint" : "time";
  const names = workloads(quantity), workload = names.includes(words.get("workload")) ? words.get("workload") : names[0];
  $("quantity").value = quantity;
  $("workload").replaceChildren(...names.map((n) => new Option(n, n, false, n === workload)));
  const series = data.series.filter((s) => s.quantity === quantity && s.workload === workload);
  $("title").textContent = `${quantity === "time" ? "Time" : "Memory"} on ${workload}`;
  if (shown) shown.destroy();
  shown = new Chart($("chart"), { type: "line", plugins: [whiskers],
    data: { labels: data.runs.map(label), datasets: series.map((s) => {
      const changed = new Set(s.changes.map((c) => c.run));
      return { label: s.backend, data: s.points.map((p) => p.value), points: s.points, borderColor: colour(s.backend), backgroundColor: colour(s.backend), borderWidth: 2,
        pointRadius: s.points.map((_, i) => (changed.has(i) ? 9 : 4)), pointStyle: s.points.map((_, i) => (changed.has(i) ? "rectRot" : "circle")),
        segment: { borderColor: (c) => (data.runs[c.p1DataIndex].cut ? "transparent" : undefined) } };
    }) },
    options: { scales: { y: { title: { display: true, text: `ratio to ${data.runs.at(-1).baseline}` },
      suggestedMin: Math.min(...series.flatMap((s) => s.points.map((p) => p.low ?? p.value ?? 1))), suggestedMax: Math.max(...series.flatMap((s) => s.points.map((p) => p.high ?? p.value ?? 1))) } } } });
  const cell = (tag, text, cls) => { const made = document.createElement(tag); made.textContent = text; if (cls) made.className = cls; return made; };
  const row = (cells) => { const made = document.createElement("tr"); made.append(...cells); return made; };
  $("points").tHead.replaceChildren(row([cell("th", "run"), cell("th", "made"), ...series.map((s) => cell("th", s.backend, "number")), cell("th", "remarks")]));
  $("points").tBodies[0].replaceChildren(...data.runs.map((run, i) => row([cell("td", run.name), cell("td", run.created.slice(0, 16).replace("T", " ")),
    ...series.map((s) => { const p = s.points[i], changed = s.changes.find((c) => c.run === i);
      return cell("td", p.value === null ? p.word : `${p.value.toFixed(3)}${p.low === null ? "" : ` [${p.low.toFixed(3)}, ${p.high.toFixed(3)}]`}${changed ? ` ◆ ${changed.word}` : ""}`,
        changed ? `number ${changed.value > 1 ? "worse" : "better"}` : "number"); }),
    cell("td", [run.noisy ? "NOISY" : "", run.cut].filter(Boolean).join("; "))])));
}

for (const id of ["quantity", "workload"]) $(id).addEventListener("change", () => {
  location.hash = new URLSearchParams({ quantity: $("quantity").value, workload: $("workload").value }).toString();
});
addEventListener("hashchange", draw);
draw();
document.documentElement.dataset.ready = "yes";
