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
  if (value === 0) return unit ? `0 ${unit}` : "0";
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return `${value.toLocaleString("en", { maximumFractionDigits: digits })}${unit ? ` ${unit}` : ""}`;
}

function clock(at, seconds) {
  const second = seconds ? "2-digit" : undefined;
  return new Date(at * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second });
}

class Chart extends HTMLElement {
  static observedAttributes = ["data-series"];
  #plot = null;
  #box = null;
  #legend = null;
  #series = null;
  #sizes = null;

  connectedCallback() {
    charts.add(this);
    this.#box = document.createElement("div");
    this.#box.className = "plot";
    this.#legend = document.createElement("div");
    this.#legend.className = "plot-legend";
    this.#series = JSON.parse(this.dataset.series);
    this.append(this.#box, this.#legend);
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
    this.#legend?.remove();
  }

  attributeChangedCallback() {
    if (!this.#plot) return;
    const before = this.#series;
    this.#series = JSON.parse(this.dataset.series);
    const same = before.lines.map((line) => line.label).join() === this.#series.lines.map((line) => line.label).join();
    // As a rule only figures have changed: then the axes and the pointer stay as they are.
    if (!same) return this.draw();
    this.#plot.setData(this.#columns());
    this.#tell();
  }

  draw() {
    this.#plot?.destroy();
    const muted = colour("--muted");
    const axis = { stroke: muted, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    this.#plot = new uPlot(
      {
        width: this.#box.clientWidth || 480,
        height: HEIGHT,
        padding: [8, 8, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { size: 6 } },
        hooks: { setCursor: [() => this.#tell()] },
        scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, this.#series.floor ?? 1)] } },
        axes: [
          { ...axis, space: 56, size: 28, values: (_, ticks) => ticks.map((tick) => clock(tick, ticks[1] - ticks[0] < 60)) },
          { ...axis, size: 44, space: 32, values: (_, ticks) => ticks.map((tick) => figure(tick, "")) },
        ],
        series: [
          {},
          ...this.#series.lines.map((line) => ({
            stroke: colour(`--${line.colour}`),
            fill: line.fill ? colour(`--${line.colour}-fill`) : undefined,
            width: 1.5,
            spanGaps: false,
            points: { show: false },
          })),
        ],
      },
      this.#columns(),
      this.#box,
    );
    this.#tell();
  }

  #columns() {
    return [this.#series.times, ...this.#series.lines.map((line) => line.values)];
  }

  // The figures under the pointer, or the newest.
  #tell() {
    const { times, lines, unit } = this.#series;
    const at = this.#plot?.cursor.idx ?? times.length - 1;
    const told = lines.map((line) => {
      const one = document.createElement("span");
      const key = document.createElement("i");
      key.className = line.colour;
      const value = document.createElement("b");
      value.textContent = figure(line.values[at], unit);
      one.append(key, line.label, value);
      return one;
    });
    if (this.#plot?.cursor.idx != null) told.push(clock(times[at], true));
    this.#legend.replaceChildren(...told);
  }
}

customElements.define("v-chart", Chart);
const redraw = () => charts.forEach((chart) => chart.draw());
document.addEventListener("theme", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
