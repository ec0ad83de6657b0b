// Courses of runs over one another: loss, accuracy, rate; as single lines or as a band a group.

const COLOURS = ["#2386c8", "#d55e00", "#00a078", "#cc79a7", "#e69f00", "#56b4e9", "#888888"];
/** Seeds of one cell up to which each is a line at first. */
const SINGLE = 12;
const PANELS = [
  ["training loss", (run) => traces.train_loss[run], 1],
  ["validation top-1 (%)", (run) => traces.val_top1[run], 100],
  ["learning rate", (run) => coded(traces.rate, run), 1],
];

const stepsOf = (run) => coded(traces.steps, run);
const same = (one, other) => one.length === other.length && one.every((value, i) => value === other[i]);

/** Lines of a group's runs. */
const lines = (group, values, scale) =>
  group.runs.map((run) => ({
    name: group.runs.length > 1 ? `${group.name}, seed ${seed(run)}` : group.name,
    colour: group.colour,
    xs: stepsOf(run),
    ys: values(run).map((value) => (value === null ? NaN : scale * value)),
  })).filter((line) => line.xs.length);

/** Their mean, from the lowest to the highest; null where they were not looked at alike. */
const band = (group, several) => {
  if (several.length < 2 || !several.every((line) => same(line.xs, several[0].xs))) return null;
  const at = several[0].xs.map((_, i) => several.map((line) => line.ys[i]));
  return {
    name: group.name, colour: group.colour, xs: several[0].xs,
    ys: at.map((all) => all.reduce((sum, y) => sum + y, 0) / all.length),
    low: at.map((all) => Math.min(...all)), high: at.map((all) => Math.max(...all)),
  };
};

const panels = (groups, banded) =>
  PANELS.map(([title, values, scale]) => {
    const found = { title, lines: [], bands: [] };
    for (const group of groups) {
      const several = lines(group, values, scale);
      const whole = banded ? band(group, several) : null;
      if (whole) found.bands.push(whole);
      found.lines.push(...(whole ? [whole] : several));
    }
    return found;
  });

/** Groups ({name, runs}) as curves, with a legend and a choice between lines and bands. */
const curves = (groups, more = null) => {
  groups.forEach((group, i) => { group.colour = COLOURS[i % COLOURS.length]; });
  const several = groups.some((group) => group.runs.length > 1);
  const figure = make("div", {
    class: "curves", role: "img",
    "aria-label": `Training loss, validation top-1 and learning rate by step of ${groups.map((group) => group.name).join("; ")}`,
  });
  const legend = make("ul", { class: "legend" }, groups.slice(0, 20).map((group) => {
    const key = make("span", { class: "key" });
    key.style.background = group.colour;
    return make("li", {}, key, group.name);
  }));
  let banded = several && (groups.length > 1 || groups[0].runs.length > SINGLE);
  const draw = () => {
    figure.replaceChildren();
    (globalThis.Bokeh ? drawBokeh : drawSvg)(figure, panels(groups, banded));
  };
  const choice = several && button("", () => { banded = !banded; say(); draw(); }, { class: "quiet" });
  const say = () => { if (choice) choice.textContent = banded ? "Show each seed" : "Show mean and band"; };
  say();
  const drawn = make("div", { class: "drawn" }, make("div", { class: "tools" }, choice || "", more ?? ""), figure, legend,
    several ? make("p", { class: "note" }, "A band reaches from the lowest to the highest seed; its line is their mean.") : "");
  // Only what is on the page has a width to draw on.
  requestAnimationFrame(draw);
  return drawn;
};
