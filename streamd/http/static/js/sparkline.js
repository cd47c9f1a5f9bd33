// A small chart of the last two minutes: one or two lines on a time axis, drawn as SVG paths.

export const WINDOW_MS = 120_000;
const BREAK_MS = 5_000; // samples further apart are not joined by a line
const SVG = "http://www.w3.org/2000/svg";

export class Sparkline {
  #svg;
  #series;
  #top; // a fixed maximum of the scale; null for the next round number above the highest value
  #least; // the lowest maximum of the scale, so that noise stays small
  #points = []; // {t, values: [number | null, …]}, oldest first
  #paths;
  #cursor;

  constructor(svg, { series = 1, top = null, least = 1 } = {}) {
    this.#svg = svg;
    this.#series = series;
    this.#top = top;
    this.#least = least;
    this.#paths = Array.from({ length: series }, (_, index) => {
      const name = index ? "second" : "first";
      return { area: this.#append("path", `area ${name}`), line: this.#append("path", `line ${name}`) };
    });
    this.#cursor = this.#append("line", "cursor");
    this.#cursor.setAttribute("y2", "100");
    this.#cursor.setAttribute("visibility", "hidden");
  }

  push(t, values) {
    const last = this.#points.at(-1);
    if (last && t <= last.t) return; // received before a reconnect
    this.#points.push({ t, values });
    // Keep one point outside the window, so that the line reaches the left edge.
    while (this.#points.length > 2 && this.#points[1].t < t - WINDOW_MS) this.#points.shift();
  }

  get empty() {
    return this.#points.length === 0;
  }

  // Return the lowest and highest value of one line in the window before `now`; null without values.
  range(now, index = 0) {
    const values = this.#visible(now).map((point) => point.values[index]).filter((value) => value !== null);
    return values.length ? { low: Math.min(...values), high: Math.max(...values) } : null;
  }

  // Draw the lines; returns the maximum of the scale.
  draw(now) {
    const top = this.#top ?? this.#roundTop(now);
    const x = (t) => 100 - ((now - t) / WINDOW_MS) * 100;
    const y = (value) => 100 - Math.min(1, value / top) * 96; // keeps the stroke of a full line inside
    this.#paths.forEach(({ area, line }, index) => {
      const runs = this.#runs(index).map((run) => run.map(({ t, value }) => `${x(t).toFixed(2)},${y(value).toFixed(2)}`));
      line.setAttribute("d", runs.map((run) => `M${run.join("L")}${run.length === 1 ? "h0.01" : ""}`).join(""));
      area.setAttribute("d", runs.map((run) => `M${left(run)},100L${run.join("L")}L${right(run)},100Z`).join(""));
    });
    return top;
  }

  // Mark the sample nearest to a position (0 left to 1 right) and return it; null removes the mark.
  mark(now, position) {
    const at = position === null ? null : now - (1 - position) * WINDOW_MS;
    const nearest = at === null ? null : this.#visible(now).reduce(
      (best, point) => (best && Math.abs(best.t - at) <= Math.abs(point.t - at) ? best : point), null);
    this.#cursor.setAttribute("visibility", nearest ? "visible" : "hidden");
    if (nearest) {
      const x = (100 - ((now - nearest.t) / WINDOW_MS) * 100).toFixed(2);
      this.#cursor.setAttribute("x1", x);
      this.#cursor.setAttribute("x2", x);
    }
    return nearest;
  }

  #append(name, classes) {
    const element = document.createElementNS(SVG, name);
    element.setAttribute("class", classes);
    element.setAttribute("vector-effect", "non-scaling-stroke");
    return this.#svg.appendChild(element);
  }

  #visible(now) {
    return this.#points.filter((point) => point.t >= now - WINDOW_MS);
  }

  #roundTop(now) {
    const highest = Array.from({ length: this.#series }, (_, index) => this.range(now, index)?.high ?? 0);
    const wanted = Math.max(this.#least, ...highest);
    const power = 10 ** Math.floor(Math.log10(wanted));
    return [1, 2, 5, 10].map((step) => step * power).find((round) => round >= wanted);
  }

  // Split into runs without a break: a missing value or a long pause ends a run.
  #runs(index) {
    const runs = [];
    let before = null;
    for (const { t, values } of this.#points) {
      const value = values[index];
      if (value !== null && (before === null || t - before > BREAK_MS)) runs.push([]);
      if (value !== null) runs.at(-1).push({ t, value });
      before = value === null ? null : t;
    }
    return runs;
  }
}

const left = (run) => run[0].split(",")[0];
const right = (run) => run.at(-1).split(",")[0];
