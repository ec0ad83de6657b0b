// Light and dark, links to what is closed, paper, and the page as it grows.

const startTheme = () => {
  const root = document.documentElement, press = byId("theme");
  const dark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const say = () => { press.textContent = dark() ? "Light" : "Dark"; press.setAttribute("aria-label", `Show in ${dark() ? "light" : "dark"} colours`); };
  press.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; keep("theme", root.dataset.theme); say(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", say);
  if (kept("theme")) root.dataset.theme = kept("theme");
  press.hidden = false;
  say();
};

// Some browsers keep nothing for a file; then a page starts anew each time.
const kept = (name) => { try { return sessionStorage.getItem(name); } catch { return null; } };
const keep = (name, value) => { try { sessionStorage.setItem(name, value); } catch { /* as above */ } };

const follow = (move) => {
  const cell = cells.get(decodeURIComponent(location.hash.slice(1)));
  if (cell && fieldOf(cell.id).getAttribute("aria-expanded") !== "true") open(cell, move);
};

const startPaper = () => {
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((each) => { each.open = false; }));
};

/** While runs are followed: a newer page, as it is scrolled and filtered now. */
const startReload = () => {
  const every = Number(document.documentElement.dataset.reload);
  if (!every) return;
  const filter = byId("run-filter");
  if (kept("filter")) { filter.value = kept("filter"); filter.dispatchEvent(new Event("input")); }
  if (kept("scroll")) scrollTo(0, Number(kept("scroll")));
  setInterval(() => {
    if (document.hidden || list.chosen.size || document.activeElement === filter) return;
    keep("filter", filter.value);
    keep("scroll", scrollY);
    location.reload();
  }, 1000 * every);
};

startTheme();
startList();
startCells();
startPaper();
follow(false);
startReload();
addEventListener("hashchange", () => follow(true));
document.querySelectorAll("[data-runs]").forEach((link) => link.addEventListener("click", () => {
  restrict(link.dataset.runs.split(" "), `runs behind ${link.dataset.claim}`);
  byId("runs").scrollIntoView();
  byId("run-filter").focus({ preventScroll: true });
}));
