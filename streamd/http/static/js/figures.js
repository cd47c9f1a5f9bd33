// The four charts of this machine's figures.

import * as format from "./format.js";
import { Sparkline, WINDOW_MS } from "./sparkline.js";

const RATE_LEAST = 10_000; // bytes per second: the noise of an idle machine

// The cards: the values to draw, their format, and a line of context.
const CARDS = {
  cpu: {
    title: "CPU",
    chart: { top: 100 },
    write: format.percent,
    values: (f) => [f.cpu?.percent],
    context: (f) => loadText(f.cpu),
  },
  memory: {
    title: "Memory",
    chart: { top: 100 },
    write: format.percent,
    values: (f) => [f.memory?.percent],
    context: (f) => [f.memory && `${format.binaryBytes(f.memory.used_bytes)} of ${format.binaryBytes(f.memory.total_bytes)} in use`, swapText(f.swap)],
  },
  disk: {
    title: "Disk",
    chart: { series: 2, least: RATE_LEAST },
    names: ["read", "written"],
    write: format.byteRate,
    values: (f) => [f.disk?.read_bytes_per_second, f.disk?.written_bytes_per_second],
    context: (f) => [f.disk?.root && `/ is ${format.percent(f.disk.root.percent)} full of ${format.bytes(f.disk.root.total_bytes)}`],
  },
  network: {
    title: "Network",
    chart: { series: 2, least: RATE_LEAST },
    names: ["received", "sent"],
    write: format.byteRate,
    values: (f) => [f.network?.received_bytes_per_second, f.network?.sent_bytes_per_second],
    context: () => ["all interfaces but the loopback"],
  },
};

export class Figures {
  #cards = Object.entries(CARDS).map(([id, card]) => new Card(document.getElementById(id), card));
  #note = document.getElementById("figures-note");
  #charts = document.getElementById("charts");
  #hint = document.getElementById("demo-hint");
  #lastTime = null;
  #uptime = "";
  #clockOffset = -Infinity; // the server's clock minus performance.now(), from the event with the least delay

  constructor() {
    for (const card of this.#cards) card.onHover(() => this.#now);
  }

  // Add the data of an event; ignore anything but a sample of the demo source.
  push(id, data) {
    const figures = sample(data);
    const t = format.idTime(id);
    if (!figures || t === null) return;
    this.#clockOffset = Math.max(this.#clockOffset, t - performance.now());
    this.#lastTime = Math.max(this.#lastTime ?? 0, t);
    const up = figures.uptime?.machine_seconds;
    this.#uptime = up ? `, up for ${format.duration(up)}` : "";
    this.#charts.removeAttribute("data-empty");
    for (const card of this.#cards) card.push(t, figures);
  }

  // overdue: the stream is open, and a running demo source would have published by now
  draw(connected, overdue) {
    this.#hint.hidden = this.#lastTime !== null || !overdue;
    if (this.#lastTime === null) {
      this.#note.textContent = connected ? "No figures yet" : "Waiting for the stream";
      return;
    }
    const now = this.#now;
    const age = (now - this.#lastTime) / 1000;
    this.#charts.toggleAttribute("data-stale", age > 5);
    this.#note.textContent = age > 5 ? `Last figures ${format.duration(age)} ago` : `Last two minutes${this.#uptime}`;
    for (const card of this.#cards) card.draw(now, now - this.#lastTime > WINDOW_MS);
  }

  get #now() {
    return performance.now() + this.#clockOffset;
  }
}

class Card {
  #element;
  #card;
  #chart;
  #svg;
  #values;
  #hover = null; // the pointer's position, 0 (left) to 1 (right)

  constructor(element, card) {
    this.#element = element;
    this.#card = card;
    this.#svg = element.querySelector("svg");
    this.#chart = new Sparkline(this.#svg, card.chart);
    this.#values = element.querySelectorAll(".value");
  }

  push(t, figures) {
    const values = this.#card.values(figures).map((value) => value ?? null);
    this.#chart.push(t, values);
    values.forEach((value, index) => { this.#values[index].textContent = this.#card.write(value); });
    this.#part(".context").replaceChildren(...contextNodes(this.#card.context(figures)));
  }

  draw(now, outOfView) {
    const top = this.#chart.draw(now);
    this.#part(".scale").textContent = this.#card.chart.top === 100 ? "100\u00a0%" : this.#card.write(top);
    this.#element.toggleAttribute("data-out-of-view", outOfView);
    const point = this.#chart.mark(now, this.#hover);
    this.#part(".at").textContent = point ? format.clock(point.t) : "";
    const ranges = this.#ranges(now);
    const shown = point ? point.values.map(this.#card.write) : ranges;
    this.#part(".range").replaceChildren(...shown.filter(Boolean).map(seriesText));
    const words = ranges.map((range, index) => range && [this.#card.names?.[index], range].filter(Boolean).join(" "));
    this.#svg.setAttribute("aria-label", `${this.#card.title}, last two minutes: ${words.filter(Boolean).join(", ") || "no figures"}`);
  }

  onHover(now) {
    const plot = this.#part(".plot");
    const redraw = () => this.#chart.empty || this.draw(now(), this.#element.hasAttribute("data-out-of-view"));
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      this.#hover = (event.clientX - box.left) / box.width;
      redraw();
    });
    plot.addEventListener("pointerleave", () => {
      this.#hover = null;
      redraw();
    });
  }

  #part(selector) {
    return this.#element.querySelector(selector);
  }

  // Write the lowest and highest value of each line; null for a line without values.
  #ranges(now) {
    return this.#card.values({}).map((_, index) => {
      const range = this.#chart.range(now, index);
      return range && `${this.#card.write(range.low)} to ${this.#card.write(range.high)}`;
    });
  }
}

function seriesText(text, index) {
  const span = document.createElement("span");
  span.className = index ? "second" : "first";
  span.textContent = text;
  return span;
}

function sample(data) {
  try {
    const figures = JSON.parse(data);
    return figures?.timestamp && figures.cpu ? figures : null;
  } catch {
    return null;
  }
}

function loadText(cpu) {
  const cores = cpu?.per_core_percent ?? [];
  const load = cpu?.load_average;
  return [cores.length ? coreBars(cores) : null, cores.length ? `${cores.length} ${cores.length === 1 ? "core" : "cores"}` : null, load && `load ${load.map((value) => value.toFixed(2)).join(" ")}`];
}

function coreBars(cores) {
  const bars = document.createElement("span");
  bars.className = "cores";
  bars.setAttribute("role", "img");
  bars.setAttribute("aria-label", `${cores.length} cores: ${cores.map((value) => format.percent(value)).join(", ")}`);
  for (const value of cores) {
    const bar = bars.appendChild(document.createElement("span"));
    bar.style.setProperty("--busy", `${value}%`);
  }
  return bars;
}

const swapText = (swap) => (swap?.total_bytes ? `swap ${format.percent(swap.percent)}` : null);

function contextNodes(parts) {
  return parts.filter(Boolean).map((part) => {
    const span = document.createElement("span");
    span.append(part);
    return span;
  });
}
