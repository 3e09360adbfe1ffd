// What a panel's button has queued: a strip or a table of pictures under their labels; a click fills the fields from one.
"use strict";

(() => {
  const { $, idOf, el, t, part, fill, lists } = window.noisette.kit;
  const { thumbOf, tableOf } = window.noisette.tables;
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
    return thumbOf(picture.id, t("plan.use", { name }), () => fill(plan.tab, { picture: picture.id, what: "all" }), { class: "nz-thumb", "data-focus": "plan" + cell.job });
  }

  // One row wraps like words: the side of the page is narrow.
  function stripOf(plan) {
    return el("ol", { class: "nz-plan-strip", "aria-label": t("plan") }, ...plan.cells.map((cell) => el("li", {}, inside(plan, cell), el("span", { text: cell.labels[0] ?? "" }))));
  }

  function wholeOf(plan) {
    const placed = (column, row) => {
      const cell = plan.cells.find((one) => (one.labels[0] ?? "") === plan.columns[column] && (one.labels[1] ?? "") === plan.rows[row]);
      return cell ? inside(plan, cell) : null;
    };
    const caption = el("caption", { class: "nz-unseen", text: t("plan") });
    return el("div", { class: "nz-plan-scroll", tabindex: "0", role: "region", "aria-label": t("plan") }, tableOf(caption, plan.columns, plan.rows, placed));
  }

  function draw() {
    for (const picture of lists().pictures) if (!found[picture.job]) found[picture.job] = picture;
    for (const [id, plan] of Object.entries(plans)) {
      if (!$(id)) continue;
      const states = plan.cells.map((cell) => found[cell.job]?.id ?? lists().past.find((job) => job.id === cell.job)?.state ?? "");
      part(id, [plan.cells[0].job, ...states].join(), () => [plan.rows.length === 1 && !plan.rows[0] ? stripOf(plan) : wholeOf(plan)]);
    }
  }

  window.noisette.join({ draw, answered });
})();
