// Plots by hand: one series each, as SVG.

import { Series } from "./series.js";

const WIDTH = 300;
const HEIGHT = 60;

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export class Plot {
  // `words` says a value; the figure's name for who cannot see it is its caption and the last value.
  constructor(title, words = String) {
    this.series = new Series();
    this.words = words;
    this.value = document.createElement("strong");
    this.area = svg("path", { class: "area" });
    this.line = svg("path", { class: "line" });
    const picture = svg(
      "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", height: HEIGHT, "aria-hidden": "true" },
      svg("path", { class: "axis", d: `M0 ${HEIGHT}H${WIDTH}` }), this.area, this.line,
    );
    const caption = document.createElement("figcaption");
    const name = document.createElement("span");
    name.textContent = title;
    caption.append(name, this.value);
    this.top = document.createElement("p");
    this.top.className = "help";
    this.root = document.createElement("figure");
    this.root.append(caption, picture, this.top);
  }

  add(value) {
    this.series.add(value);
    const { last, top } = this.series;
    this.value.textContent = last === null ? "unknown" : this.words(last);
    this.top.textContent = `highest of three minutes: ${this.words(top)}`;
    const { line, area } = this.series.paths(WIDTH, HEIGHT);
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", area);
  }
}

// A time line as bars, one below the other.
export function waterfall({ spans, points, endMs }, words) {
  const row = 30;
  const height = spans.length * row + 14;
  const x = (ms) => (ms / endMs) * 600;
  const bars = spans.map((span, index) => svg(
    "g", {},
    // Beside its bar's beginning, or before its end where it would not fit.
    svg("text", {
      x: x(span.fromMs) < 400 ? x(span.fromMs) : x(span.toMs), y: index * row + 12,
      "text-anchor": x(span.fromMs) < 400 ? "start" : "end",
    }, `${span.name}, ${words(span.toMs - span.fromMs)}`),
    svg("rect", {
      class: "bar", x: x(span.fromMs), width: Math.max(1.5, x(span.toMs - span.fromMs)), y: index * row + 16, height: 10,
    }, titled(`${span.name}: ${words(span.toMs - span.fromMs)}`)),
  ));
  const marks = points.map((point) => svg(
    "circle", { class: "bar", cx: Math.min(596, Math.max(4, x(point.atMs))), cy: height - 6, r: 4 },
    titled(`${point.name}: ${words(point.atMs)}`),
  ));
  return svg("svg", { viewBox: `0 0 600 ${height}`, role: "img", "aria-label": "Time line; the table below has the same" }, ...bars, ...marks);
}

function titled(text) {
  const title = svg("title");
  title.textContent = text;
  return title;
}
