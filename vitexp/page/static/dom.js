"use strict";
// Elements, made so that a text is never read as markup.

/** An element; `on...` attributes are listeners, null and false ones are left out. */
const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== ""));
  return element;
};

const byId = (id) => document.getElementById(id);

/** A table with a head; `numbers` are the columns that are aligned to the right. */
const table = (heads, rows, numbers = [], name = "") => {
  const kind = (column) => (numbers.includes(column) ? "number" : null);
  const head = heads.map((text, i) => make("th", { scope: "col", class: kind(i) }, text));
  const body = rows.map((row) =>
    make("tr", {}, row.map((part, i) => make(i ? "td" : "th", { class: kind(i), scope: i ? null : "row" }, part))));
  return make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": name },
    make("table", { class: "numbers" }, make("thead", {}, make("tr", {}, head)), make("tbody", {}, body)));
};

/** A heading with what stands below it; nothing where that is nothing. */
const part = (title, ...below) =>
  below.flat().some(Boolean) ? make("section", { class: "part" }, make("h4", {}, title), ...below.filter(Boolean)) : null;

const button = (text, press, attributes = {}) =>
  make("button", { type: "button", onclick: press, ...attributes }, text);
