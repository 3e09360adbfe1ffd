// What a panel's button has queued: a strip or a table of pictures under their labels; a click fills the fields from one.
"use strict";

(() => {
  const { $, MAKERS, idOf, el, button, t, part, fill, lists } = window.noisette.kit;
  const plans = {};  // by the place's id: {cells, columns, rows}
  const found = {};  // pictures by the number of their job: the lists hold the newest only

  const unique = (values) => [...new Set(values)];
  function answered(tab, told) {
    if (told.kind !== "submitted" || !told.plan) return;
    const { extension, cells } = told.plan;
    const label = (cell, at) => cell.labels[at] ?? "";
    plans[idOf(tab, `plans-${extension}`)] = {
      tab, cells, columns: unique(cells.map((cell) => label(cell, 0))), rows: unique(cells.map((cell) => label(cell, 1))),
    };
  }

  // The picture of a cell that can be clicked back into the fields, or the word for its state.
  function inside(plan, cell) {
    const picture = found[cell.job];
    const past = lists().past.find((job) => job.id === cell.job);
    if (!picture) return el("span", { class: "nz-plan-empty", text: past && past.state !== "done" ? t("plan." + past.state) : t("plan.waiting") });
    const name = cell.labels.filter(Boolean).join(", ");
    const open = button("", () => fill(plan.tab, { picture: picture.id, what: "all" }), { class: "nz-thumb", "aria-label": t("plan.use", { name }), title: t("plan.use", { name }), "data-focus": "plan" + cell.job });
    open.append(el("img", { src: `./files/thumb/${picture.id}`, alt: "", loading: "lazy" }));
    return open;
  }

  // One row wraps like words: the side of the page is narrow.
  function stripOf(plan) {
    return el("ol", { class: "nz-plan-strip", "aria-label": t("plan") }, ...plan.cells.map((cell) => el("li", {}, inside(plan, cell), el("span", { text: cell.labels[0] ?? "" }))));
  }

  function tableOf(plan) {
    const at = (column, row) => plan.cells.find((cell) => (cell.labels[0] ?? "") === column && (cell.labels[1] ?? "") === row);
    return el("div", { class: "nz-plan-scroll", tabindex: "0", role: "region", "aria-label": t("plan") }, el("table", {},
      el("caption", { class: "nz-unseen", text: t("plan") }),
      el("thead", {}, el("tr", {}, el("td"), ...plan.columns.map((column) => el("th", { scope: "col", text: column })))),
      el("tbody", {}, ...plan.rows.map((row) => el("tr", {}, el("th", { scope: "row", text: row }), ...plan.columns.map((column) => at(column, row)).map((cell) => el("td", {}, cell ? inside(plan, cell) : null)))))));
  }

  function draw() {
    for (const picture of lists().pictures) if (!found[picture.job]) found[picture.job] = picture;
    for (const [id, plan] of Object.entries(plans)) {
      if (!$(id)) continue;
      const states = plan.cells.map((cell) => found[cell.job]?.id ?? lists().past.find((job) => job.id === cell.job)?.state ?? "");
      part(id, [plan.cells[0].job, ...states].join(), () => [plan.rows.length === 1 && !plan.rows[0] ? stripOf(plan) : tableOf(plan)]);
    }
  }

  window.noisette.join({ draw, answered });
})();
