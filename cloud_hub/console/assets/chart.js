// <v-chart data-series='{"times":[…],"unit":"ms","lines":[{"label":"p95","colour":"v1","values":[…]}]}'>: a time
// series drawn by uPlot. The server writes the same figures as text inside, for those without JavaScript.
import uPlot from "uplot/dist/uPlot.esm.js";

const HEIGHT = 168;

const charts = new Set();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function figure(value, unit) {
  if (value == null) return "–";
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return `${value.toLocaleString("en", { maximumFractionDigits: digits })}${unit ? ` ${unit}` : ""}`;
}

class Chart extends HTMLElement {
  static observedAttributes = ["data-series"];
  #plot = null;
  #box = null;
  #sizes = null;

  connectedCallback() {
    charts.add(this);
    this.#box = document.createElement("div");
    this.#box.className = "plot";
    this.append(this.#box);
    this.#sizes = new ResizeObserver(() => {
      const width = this.#box.clientWidth;
      if (this.#plot && width && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
    });
    this.#sizes.observe(this);
    this.draw();
  }

  disconnectedCallback() {
    charts.delete(this);
    this.#sizes?.disconnect();
    this.#plot?.destroy();
    this.#plot = null;
    this.#box?.remove();
  }

  attributeChangedCallback() {
    if (!this.#plot) return;
    const series = JSON.parse(this.dataset.series);
    // Only figures have changed, as a rule: then the axes and the cursor stay as they are.
    if (series.lines.length + 1 === this.#plot.series.length) this.#plot.setData(this.#columns(series));
    else this.draw();
  }

  draw() {
    this.#plot?.destroy();
    const series = JSON.parse(this.dataset.series);
    const muted = colour("--muted");
    const axis = { stroke: muted, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    this.#plot = new uPlot(
      {
        width: this.#box.clientWidth || 480,
        height: HEIGHT,
        padding: [8, 8, 0, 0],
        legend: { live: true },
        cursor: { y: false, points: { size: 6 } },
        scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, Number(series.floor ?? 1))] } },
        axes: [
          { ...axis, space: 64 },
          { ...axis, size: 52, space: 32, values: (_, ticks) => ticks.map((tick) => figure(tick, "")) },
        ],
        series: [
          { value: (_, at) => (at == null ? "–" : new Date(at * 1000).toLocaleTimeString()) , label: "Time" },
          ...series.lines.map((line) => ({
            label: line.label,
            stroke: colour(`--${line.colour}`),
            fill: line.fill ? colour(`--${line.colour}-fill`) : undefined,
            width: 1.5,
            spanGaps: false,
            points: { show: false },
            value: (_, value) => figure(value, series.unit),
          })),
        ],
      },
      this.#columns(series),
      this.#box,
    );
  }

  #columns(series) {
    return [series.times, ...series.lines.map((line) => line.values)];
  }
}

customElements.define("v-chart", Chart);
const redraw = () => charts.forEach((chart) => chart.draw());
document.addEventListener("theme", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
