// The parts of what opens behind a number.

const seedsOf = (cell) =>
  table(["run", "seed", "state", "test top-1", "validation", "training", "loss", "time", "memory", "of peak"],
    cell.runs.map((run) => [
      short(run), seed(run), state(run), percent(number("test_top1", run)), percent(number("val_top1", run)),
      percent(number("train_top1", run)), rounded(number("train_loss", run)), seconds(number("seconds", run)),
      scaled(number("peak_memory", run), "B"),
      number("utilisation", run) === null ? NONE : `${percent(number("utilisation", run))} %`,
    ]), [3, 4, 5, 6, 7, 8, 9], "Seeds");

const sum = (cell, name) => cell.runs.reduce((all, run) => all + (number(name, run) ?? 0), 0);

const costOf = (cell) =>
  make("p", {}, `${cell.runs.length} runs, ${seconds(sum(cell, "seconds"))} together, `
    + `${scaled(sum(cell, "device_seconds"), "")} device-seconds, ${scaled(sum(cell, "flops"), "FLOPs")} of training; energy was not measured.`);

/** A dotted name that may go on in the next line after each dot. */
const breakable = (name) => name.split(/(?<=\.)/).flatMap((word, i) => (i ? [make("wbr"), word] : [word]));

const settingsOf = (cell) =>
  !cell.beside ? make("p", {}, "The first cell of its table: it is what the next ones are held against.")
    : cell.settings.length ? table(["setting", "here", `in ${cell.beside}`], cell.settings.map(([name, ...values]) => [breakable(name), ...values]), [], "Settings")
      : make("p", {}, `The same as in ${cell.beside}.`);

const commandOf = (cell) => [
  make("pre", { tabindex: "0" }, make("code", {}, cell.command)),
  make("p", { class: "note" }, "Runs that are there already are not run again; in an empty folder it gives all of them anew."),
];

const environmentOf = (cell) => {
  const found = [...new Set(cell.runs.map((run) => runs.environment.codes[run]))].map((code) => runs.environment.values[code]);
  return found.filter((pairs) => pairs.length).map((pairs) =>
    make("dl", { class: "facts" }, pairs.map(([name, text]) => [make("dt", {}, name), make("dd", {}, text)])));
};

const classesOf = (cell) => {
  const { set, classes } = cell.tested;
  const lowest = Math.min(...classes.map(([, , share]) => share));
  const rows = classes.map(([label, images, share]) => {
    const bar = make("span", { class: "bar" });
    bar.style.width = `${100 * share}%`;
    return [sets[set].names[label], String(images), percent(share), make("span", { class: "track" }, bar)];
  });
  const more = classes.length < sets[set].names.length ? ` The ${classes.length} lowest of ${sets[set].names.length} classes.` : "";
  return [table(["class", "images", "top-1 (%)", ""], rows, [1, 2], "Accuracy by class"),
    make("p", { class: "note" }, `Mean over the seeds, the lowest first (${percent(lowest)} %).${more}`)];
};

const worstOf = (cell) => {
  const { set, worst, seeds: of } = cell.tested;
  if (!worst.length) return [make("p", {}, "None: every seed gets every test image right.")];
  const { names, labels, pictures } = sets[set];
  const tiles = worst.map(([row, wrong]) => {
    const said = `${names[labels[row]]}`;
    const picture = pictures[row]
      ? make("img", { src: pictures[row], alt: `test image ${row}, class ${said}`, loading: "lazy" })
      : make("span", { class: "blank" }, `image ${row}`);
    return make("li", {}, picture, make("span", {}, said), make("span", { class: "detail" }, `${wrong} of ${of} wrong`));
  });
  return [make("ul", { class: "tiles" }, tiles),
    make("p", { class: "note" }, "The test images that most seeds get wrong, each with its own class.")];
};

const testedOf = (cell) => cell.tested
  ? [part("Accuracy by class", classesOf(cell)), part("Worst test images", worstOf(cell)), part("Taken for one another", cell.tested.confusion ? confusionOf(cell) : notKept())]
  : [part("Test images", make("p", {}, "What it does with each class is not shown: the data set was not in the cache of decoded images where this page was made, or no run of it ended well."))];

/** Up to so many classes a matrix is shown; of more, the commonest mistakes. */
const MATRIX = 20, MISTAKES = 15;

const notKept = () => make("p", {}, "Which classes are taken for which was not kept with these runs, which an earlier version made; ",
  make("code", {}, "vitexp plot errors RUN"), " predicts its test images again and draws it.");

const confusionOf = (cell) => {
  const { set, confusion } = cell.tested;
  const { names } = sets[set];
  const note = make("p", { class: "note" },
    `Wrong answers of ${confusion.seeds} seed${confusion.seeds === 1 ? "" : "s"} together.`);
  if (!confusion.pairs.length) return [make("p", {}, "Nothing is taken for anything else.")];
  if (names.length > MATRIX) {
    const rows = confusion.pairs.slice(0, MISTAKES).map(([own, taken, images]) => [names[own], names[taken], String(images)]);
    return [table(["class", "taken for", "images"], rows, [2], "Commonest mistakes"), note];
  }
  const most = confusion.pairs[0][2];
  const counts = new Map(confusion.pairs.map(([own, taken, images]) => [`${own} ${taken}`, images]));
  const field = (own, taken) => {
    const images = counts.get(`${own} ${taken}`);
    const part = make("td", { class: own === taken ? "number same" : "number" }, own === taken ? "·" : images ? String(images) : "");
    if (images) part.style.setProperty("--share", `${Math.round(15 + (55 * images) / most)}%`);
    return part;
  };
  return [
    make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Confusion matrix" },
      make("table", { class: "matrix" },
        make("thead", {}, make("tr", {}, make("td", {}, "true \\ predicted"), names.map((name) => make("th", { scope: "col" }, name)))),
        make("tbody", {}, names.map((name, own) =>
          make("tr", {}, make("th", { scope: "row" }, name), names.map((_, taken) => field(own, taken))))))),
    note];
};
