// Figures of the last minutes, and their line: pure.

export const KEPT = 180;

export class Series {
  constructor(kept = KEPT) {
    this.kept = kept;
    this.values = [];
  }

  // `null` is a gap.
  add(value) {
    this.values.push(value ?? null);
    if (this.values.length > this.kept) this.values.shift();
  }

  get last() {
    return this.values.at(-1) ?? null;
  }

  get top() {
    return Math.max(0, ...this.values.filter((each) => each !== null));
  }

  // The path of the line in a box of this size, the newest at its right edge, and of the area below.
  paths(width, height, top = this.top) {
    const scale = top > 0 ? height / top : 0;
    const step = width / (this.kept - 1);
    const from = this.kept - this.values.length;
    const pieces = [];
    let piece = null;
    this.values.forEach((value, index) => {
      if (value === null) piece = null;
      else {
        if (piece === null) pieces.push((piece = []));
        piece.push([round((from + index) * step), round(height - value * scale)]);
      }
    });
    const lineOf = (points) => `M${points.map((point) => point.join(" ")).join("L")}`;
    const areaOf = (points) => `${lineOf(points)}L${points.at(-1)[0]} ${height}L${points[0][0]} ${height}Z`;
    return { line: pieces.map(lineOf).join(""), area: pieces.map(areaOf).join("") };
  }
}

const round = (value) => Math.round(value * 10) / 10;

export function bytes(value) {
  if (value === null || value === undefined) return "unknown";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(value < 10 && unit ? 1 : 0)} ${units[unit]}`;
}
