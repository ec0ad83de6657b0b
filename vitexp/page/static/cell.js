// A field of a table opens what is behind it, one at a time in each study.

const panelOf = (study) => document.querySelector(`[data-panel="${CSS.escape(study)}"]`);
const fieldOf = (id) => document.querySelector(`[data-cell="${CSS.escape(id)}"]`);

const overlaid = (cell) => {
  const others = page.cells.filter((other) => other.study === cell.study && other !== cell);
  const groups = [cell];
  const place = make("div");
  const show = () => {
    const rest = others.filter((other) => !groups.includes(other));
    const more = rest.length ? make("select", {
      "aria-label": "Lay another cell over it",
      onchange: (event) => { groups.push(cells.get(event.target.value)); show(); },
    }, make("option", { value: "" }, "lay over …"), rest.map((other) => make("option", { value: other.id }, other.name))) : null;
    place.replaceChildren(curves(groups.map((each) => ({ name: each.name, runs: each.runs })), more));
  };
  show();
  return place;
};

const close = (study, back = false) => {
  const panel = panelOf(study);
  const field = document.querySelector(`#${CSS.escape(study)} [aria-expanded="true"]`);
  panel.hidden = true;
  panel.replaceChildren();
  field?.setAttribute("aria-expanded", "false");
  if (back) field?.focus();
};

const open = (cell, move = true) => {
  close(cell.study);
  const field = fieldOf(cell.id), panel = panelOf(cell.study);
  const title = make("h3", { tabindex: "-1", id: `${cell.id}-title` }, cell.name || "Runs");
  panel.setAttribute("aria-labelledby", title.id);
  panel.setAttribute("role", "region");
  panel.replaceChildren(
    make("div", { class: "head" }, make("div", {}, title, make("p", { class: "sub" }, cell.lines.join(" · "))),
      button("Close", () => leave(cell), { class: "quiet" })),
    make("div", { class: "parts" },
      make("div", {}, part("Curves", overlaid(cell)), part("Seeds", seedsOf(cell)),
        part("Cost", costOf(cell)), part("Again", commandOf(cell)), part("Environment", environmentOf(cell))),
      make("div", {}, part("What sets it apart", settingsOf(cell)), ...testedOf(cell))));
  field.closest(".scroll").after(panel);
  field.setAttribute("aria-expanded", "true");
  panel.hidden = false;
  history.replaceState(null, "", `#${cell.id}`);
  if (!move) return;
  title.focus({ preventScroll: true });
  panel.scrollIntoView({ block: "nearest" });
};

const leave = (cell) => {
  close(cell.study, true);
  history.replaceState(null, "", `#${cell.study}`);
};

const startCells = () => {
  document.addEventListener("click", (event) => {
    const field = event.target.closest("[data-cell]");
    if (!field) return;
    const cell = cells.get(field.dataset.cell);
    if (field.getAttribute("aria-expanded") === "true") leave(cell);
    else open(cell);
  });
  document.addEventListener("keydown", (event) => {
    const panel = event.key === "Escape" && event.target.closest?.(".panel");
    if (panel) leave({ study: panel.dataset.panel });
  });
};
