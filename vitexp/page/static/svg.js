// The same curves without the library: still, but whole.

const SVG = "http://www.w3.org/2000/svg";

const draw = (tag, attributes, text = "") => {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
};

/** Round values between two, about so many. */
const ticks = (low, high, many) => {
  const rough = (high - low) / many || 1;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * unit).find((each) => each >= rough);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(6)));
};

const ends = (values) => values.filter(Number.isFinite).reduce(
  ([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);

const WIDTH = 640, HEIGHT = 170, LEFT = 62, BELOW = 34, EDGE = 8;

const drawSvg = (figure, several) => {
  for (const panel of several) {
    const [first, last] = ends(panel.lines.flatMap((line) => line.xs));
    const [low, high] = ends(panel.lines.flatMap((line) => [...line.ys, ...(line.low ?? []), ...(line.high ?? [])]));
    if (!Number.isFinite(first) || !Number.isFinite(low)) continue;
    const x = (step) => LEFT + ((WIDTH - LEFT - EDGE) * (step - first)) / (last - first || 1);
    const y = (value) => EDGE + ((HEIGHT - BELOW - EDGE) * (high - value)) / (high - low || 1);
    const path = (xs, ys) => xs.flatMap((step, i) => (Number.isFinite(ys[i]) ? [`${x(step).toFixed(1)},${y(ys[i]).toFixed(1)}`] : []));
    const sheet = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "sheet" });
    for (const value of ticks(low, high, 4))
      sheet.append(draw("line", { x1: LEFT, x2: WIDTH - EDGE, y1: y(value), y2: y(value), class: "rule" }),
        draw("text", { x: LEFT - 6, y: y(value) + 4, class: "tick end" }, String(value)));
    for (const step of ticks(first, last, 6))
      sheet.append(draw("text", { x: x(step), y: HEIGHT - BELOW + 16, class: "tick middle" }, String(step)));
    sheet.append(draw("text", { x: LEFT, y: HEIGHT - 2, class: "tick" }, `${panel.title} by step`));
    for (const each of panel.bands)
      sheet.append(draw("polygon", { points: [...path(each.xs, each.low), ...path(each.xs, each.high).reverse()].join(" "), fill: each.colour, "fill-opacity": 0.18 }));
    for (const each of panel.lines) {
      const line = draw("polyline", { points: path(each.xs, each.ys).join(" "), stroke: each.colour, class: "course" });
      line.append(draw("title", {}, each.name));
      sheet.append(line);
    }
    figure.append(sheet);
  }
};
