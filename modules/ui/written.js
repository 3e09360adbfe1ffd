// What extensions make of the prompts, as it would be run: one box for each picture, below the panel that asked.
"use strict";

(() => {
  const { $, idOf, el, t, part } = window.noisette.kit;
  const shown = {};  // by the place's id

  function answered(tab, told) {
    if (told.kind === "written") shown[idOf(tab, `written-${told.extension}`)] = told;
  }

  const word = (name, text) => el("p", {}, el("span", { class: "nz-written-name", text: t(name) }), " ", el("span", { text }));

  function boxOf(told) {
    const same = told.prompts.every((each) => each.prompt === told.prompts[0].prompt && each.negative === told.prompts[0].negative);
    const prompts = same ? told.prompts.slice(0, 1) : told.prompts;
    return el("div", { tabindex: "0", role: "region", "aria-label": t("written.title"), lang: "" },
      el("ol", {}, ...prompts.map((each) => el("li", {},
        word("prompt", each.prompt || "–"), each.negative ? word("negative", each.negative) : null))),
      told.drawn && !same ? el("p", { class: "nz-written-name", text: t("written.drawn") }) : null);
  }

  function draw() {
    for (const [id, told] of Object.entries(shown)) if ($(id)) part(id, String(told.at), () => [boxOf(told)]);
  }

  window.noisette.join({ draw, answered });
})();
