// What the page knows, and numbers in words.

const page = JSON.parse(byId("data").textContent);
const { runs, traces, sets } = page;
const cells = new Map(page.cells.map((cell) => [cell.id, cell]));

/** Which fields of tables each run stands behind. */
const cellsOf = new Map();
for (const cell of page.cells)
  for (const run of cell.runs) cellsOf.set(run, [...(cellsOf.get(run) ?? []), cell]);

/** The value of a coded column. */
const coded = (column, run) => column.values[column.codes[run]];
const number = (name, run) => runs.numbers[name][run];

const NONE = "–";
const percent = (share) => (share === null ? NONE : (100 * share).toFixed(1));
const rounded = (value) => (value === null ? NONE : String(Number(value.toPrecision(3))));
const plain = (value) => (value === null ? NONE : String(value));
const scaled = (value, unit) => {
  if (value === null) return NONE;
  const step = Math.min(6, Math.max(0, Math.floor(Math.log10(Math.max(value, 1)) / 3)));
  return `${Number((value / 1000 ** step).toPrecision(3))} ${["", "k", "M", "G", "T", "P", "E"][step]}${unit}`.trim();
};
const seconds = (value) => {
  if (value === null) return NONE;
  const whole = Math.round(value);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
};

const short = (run) => runs.id[run].slice(0, 8);
const seed = (run) => (runs.search[run] ? "search" : plain(runs.seed[run]) + (runs.fold[run] ? `, fold ${runs.fold[run]}` : ""));
const state = (run) => {
  const share = runs.progress[run];
  return coded(runs.state, run) + (share === null ? "" : `, ${Math.round(100 * share)} %`);
};
