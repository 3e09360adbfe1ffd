// The table of a grid: it fills as its cells are done, and a click on one fills the fields from it.
//
// It shows the grid that runs or was made last, or the one that a chosen picture belongs to, until it is closed. Its shape
// is asked for once, its pictures whenever there are more of them; so a reload or a restart of the server shows it again.
"use strict";

(() => {
  const { $, MAKERS, idOf, el, button, t, pick, part, ask, fill, lists, state, chosen, show } = window.noisette.kit;
  const { thumbOf, tableOf } = window.noisette.tables;
  let shown = 0;       // number of the job whose grid is shown
  let shut = 0;        // and of the one that was closed
  let sheet = null;    // what the server said of it, with `job` and `saved`
  let asking = false;

  const known = (id) => [state().job, ...lists().active, ...lists().past].find((job) => job && job.id === id);

  function follow() {
    const job = state().job;
    const picture = lists().pictures.find((one) => one.id === chosen());
    const own = picture && known(picture.job);
    const next = own?.cells ? own.id : job?.cells ? job.id : 0;
    if (next && next !== shut && next !== shown) { shown = next; sheet = null; }
    if (next && next !== shut) shut = 0;
  }

  async function load() {
    const job = known(shown);
    const saved = job ? `${job.saved}${job.state}` : "";
    if (!shown || asking || (sheet && sheet.saved === saved)) return;
    asking = true;
    try {
      const found = await ask(`jobs/${shown}/sheet`);
      if (found.error) shown = 0;
      else sheet = { ...found, job: shown, saved };
    } catch { /* the next round asks again */ }
    asking = false;
    draw();
  }

  const label = (axis, place) => `${pick(axis.title)} ${axis.labels[place]}`.trim();
  const nameOf = (cell) => sheet.axes.map((axis, at) => label(axis, cell.at[at])).filter(Boolean).join(", ");

  function pictureOf(tab, cell, over) {
    if (!cell.picture) return el("span", { class: "nz-cells-empty", text: t(over ? "cells.empty" : "cells.waiting") });
    const name = nameOf(cell) || t("cells");
    return thumbOf(cell.picture, t("cells.use", { name }), () => fill(tab, { picture: cell.picture, what: "all" }), { class: "nz-cells-cell", "data-focus": "sheet" + cell.picture });
  }

  function layerOf(tab, z, over) {
    const [x, y] = sheet.axes;
    const cells = new Map(sheet.cells.filter((cell) => cell.at[2] === z).map((cell) => [`${cell.at[0]},${cell.at[1]}`, cell]));
    const side = y.labels.length > 1 || label(y, 0);
    const placed = (column, row) => { const cell = cells.get(`${column},${row}`); return cell ? pictureOf(tab, cell, over) : null; };
    const caption = el("caption", { class: label(sheet.axes[2], z) ? "" : "nz-unseen", text: label(sheet.axes[2], z) || t("cells") });
    return tableOf(caption, x.labels.map((_, column) => label(x, column)), y.labels.map((_, row) => label(y, row)), placed, side);
  }

  function flowOf(tab, over) {
    return el("ul", { class: "nz-cells-flow" }, ...sheet.cells.map((cell) => el("li", {}, pictureOf(tab, cell, over), el("span", { text: label(sheet.axes[0], cell.at[0]) }))));
  }

  function contents(tab, over) {
    const done = sheet.cells.filter((cell) => cell.picture).length;
    const scroll = el("div", { class: "nz-cells-scroll", tabindex: "0", role: "region", "aria-label": t("cells") },
      ...(sheet.flows ? [flowOf(tab, over)] : sheet.axes[2].labels.map((_, z) => layerOf(tab, z, over))));
    return [
      el("div", { class: "nz-cells-head" },
        el("h3", { text: t("cells") }),
        el("span", { class: "nz-muted", text: t("cells.count", { done, total: sheet.cells.length }) }),
        ...sheet.sheets.filter(Boolean).map((picture) => button(t("cells.whole"), () => show(picture), { "data-focus": "whole" + picture })),
        button("×", () => { shut = shown; shown = 0; sheet = null; draw(); }, { class: "nz-button nz-quiet", "aria-label": t("close"), title: t("close"), "data-focus": "sheetclose" })),
      scroll,
      el("p", { class: "nz-muted", text: t("cells.hint") }),
    ];
  }

  function draw() {
    follow();
    for (const tab of MAKERS) {
      const node = $(idOf(tab, "cells"));
      if (!node) continue;
      node.hidden = !sheet;
      const job = known(shown);
      const over = Boolean(job) && job.state !== "running" && job.state !== "queued";
      const before = node.querySelector(".nz-cells-scroll");
      const [left, top] = [before?.scrollLeft || 0, before?.scrollTop || 0];
      const key = sheet ? [sheet.job, over, ...sheet.cells.map((cell) => cell.picture || 0), ...sheet.sheets].join() : "";
      if (node.dataset.key === key) continue;
      part(idOf(tab, "cells"), key, () => (sheet ? contents(tab, over) : []));
      const after = node.querySelector(".nz-cells-scroll");
      if (after) { after.scrollLeft = left; after.scrollTop = top; }
    }
    load();
  }

  window.noisette.join({ draw });
})();
