// Pictures in a table: what a panel's button has queued (plans.js) and the cells of a grid (cells.js) are shown alike.
"use strict";

window.noisette.tables = (() => {
  const { el, button } = window.noisette.kit;

  // A small picture that does something when it is clicked; `name` is what it does, in words.
  function thumbOf(picture, name, run, attributes) {
    const open = button("", run, { "aria-label": name, title: name, ...attributes });
    open.append(el("img", { src: `./files/thumb/${picture}`, alt: "", loading: "lazy" }));
    return open;
  }

  // `columns` and `rows` are headings, `inside(column, row)` is what stands there, or null. Without `side` rows have no headings.
  function tableOf(caption, columns, rows, inside, side = true) {
    return el("table", {},
      caption,
      el("thead", {}, el("tr", {}, side ? el("td") : null, ...columns.map((text) => el("th", { scope: "col", text })))),
      el("tbody", {}, ...rows.map((text, row) => el("tr", {}, side ? el("th", { scope: "row", text }) : null, ...columns.map((_, column) => el("td", {}, inside(column, row)))))));
  }

  return { thumbOf, tableOf };
})();
