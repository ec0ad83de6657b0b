// The list of all runs: sorted by a column, filtered by words, drawn a part at a time.

const PART = 100;

const columns = [
  { name: "run", text: short },
  { name: "date", text: (run) => runs.date[run] },
  ...Object.entries(runs.told).map(([name, column]) => ({ name, text: (run) => coded(column, run) })),
  { name: "seed", text: seed, sort: (run) => runs.seed[run], number: true },
  { name: "state", text: state },
  ...[["val_top1", "val. top-1", percent], ["test_top1", "test top-1", percent], ["seconds", "time", seconds]].map(
    ([key, name, words]) => ({ name, text: (run) => words(number(key, run)), sort: (run) => number(key, run), number: true })),
];

const list = {
  order: runs.id.map((_, run) => run).reverse(),
  sorted: 1,
  rising: false,
  only: null,
  words: [],
  shown: PART,
  chosen: new Set(),
};

const told = runs.id.map((id, run) => `${id} ${columns.map((column) => column.text(run)).join(" ")}`.toLowerCase());

const fits = (run) => (!list.only || list.only.has(run)) && list.words.every((word) => told[run].includes(word));

const compare = (one, other) =>
  one === null ? (other === null ? 0 : 1) : other === null ? -1
    : typeof one === "number" ? one - other : one.localeCompare(other, "en", { numeric: true });

const sortBy = (place) => {
  list.rising = list.sorted === place ? !list.rising : !columns[place].number;
  list.sorted = place;
  const key = columns[place].sort ?? columns[place].text;
  const keys = runs.id.map((_, run) => key(run));
  list.order.sort((one, other) => {
    const found = compare(keys[one], keys[other]);
    return list.rising || keys[one] === null || keys[other] === null ? found : -found;
  });
  drawList();
};

const row = (run) => {
  const choose = make("input", {
    type: "checkbox", "aria-label": `Curves of run ${short(run)}`,
    onchange: (event) => { list.chosen[event.target.checked ? "add" : "delete"](run); drawChosen(); },
  });
  choose.checked = list.chosen.has(run);
  const fields = columns.map((column, place) => {
    const text = column.text(run);
    if (place) return make("td", { class: column.number ? "number" : null }, text);
    const [cell] = cellsOf.get(run) ?? [];
    return make("th", { scope: "row" }, cell ? make("a", { href: `#${cell.id}`, title: cell.name }, text) : text);
  });
  return make("tr", {}, make("td", {}, choose), fields);
};

const drawList = () => {
  const found = list.order.filter(fits);
  const body = byId("run-rows");
  body.replaceChildren(...found.slice(0, list.shown).map(row));
  byId("run-count").textContent = `${found.length} of ${runs.id.length} runs`;
  const more = byId("run-more");
  more.hidden = found.length <= list.shown;
  more.textContent = `Show ${Math.min(5 * PART, found.length - list.shown)} more`;
  byId("run-only").hidden = !list.only;
  document.querySelectorAll("#run-list thead th[aria-sort]").forEach((head, place) => {
    head.setAttribute("aria-sort", place === list.sorted ? (list.rising ? "ascending" : "descending") : "none");
  });
};

const drawChosen = () => {
  const several = [...list.chosen];
  const groups = several.map((run) => ({ name: `${short(run)}, seed ${seed(run)}`, runs: [run] }));
  byId("run-curves").replaceChildren(...(several.length ? [curves(groups)] : []));
};

/** Only these runs, given by their ids. */
const restrict = (ids, why) => {
  const wanted = new Set(ids);
  list.only = wanted.size ? new Set(runs.id.flatMap((id, run) => (wanted.has(id) ? [run] : []))) : null;
  byId("run-only").textContent = `Only ${why} ×`;
  drawList();
};

const startList = () => {
  const filter = make("input", {
    type: "search", id: "run-filter", placeholder: "2d shared, diverged, 2026-11-28 …", autocomplete: "off",
    oninput: () => { list.words = filter.value.toLowerCase().split(/\s+/).filter(Boolean); list.shown = PART; drawList(); },
  });
  const heads = columns.map((column, place) =>
    make("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": "none" },
      button(column.name, () => sortBy(place), { class: "sort" })));
  byId("run-list").replaceChildren(
    make("p", { class: "note" }, runs.shared.length ? `All: ${runs.shared.join(", ")}.` : ""),
    make("div", { class: "tools" },
      make("label", { for: "run-filter" }, "Filter"), filter,
      make("span", { id: "run-count", role: "status" }),
      button("", () => restrict([], ""), { id: "run-only", class: "quiet", hidden: true })),
    make("div", { id: "run-curves" }),
    make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Runs" },
      make("table", { class: "numbers list" },
        make("thead", {}, make("tr", {}, make("td", {}, make("span", { class: "hidden" }, "curves")), heads)),
        make("tbody", { id: "run-rows" }))),
    button("", () => { list.shown += 5 * PART; drawList(); }, { id: "run-more", class: "quiet" }));
  drawList();
};
