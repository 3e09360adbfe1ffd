// What extensions did in a picture, as they say it themselves: below its parameters, and on the PNG info tab.
"use strict";

(() => {
  const { el, t, ask } = window.noisette.kit;
  // `key` in the visitor's language, or what stands for it where nobody gave it one.
  const worded = (key, otherwise) => { const said = t(key); return said === key ? otherwise : said; };
  // The extension's own words for the names of its receipt, and for texts by what they are of: "refiner=unchanged".
  const speaker = (extension) => (name, text) => {
    if (text !== undefined) return worded(`extension.${extension}.receipt.${name}=${text}`, text);
    return name ? worded(`extension.${extension}.receipt.${name}`, name) : "";
  };
  const plain = (name, value, say) => {
    if (Array.isArray(value)) return value.map((inner) => plain(name, inner, say)).join(", ");
    if (value && typeof value === "object") return Object.entries(value).map(([own, inner]) => `${say(own)} ${plain(own, inner, say)}`).join(", ");
    return typeof value === "string" ? say(name, value) : String(value);
  };
  const row = (name, value, say) => el("tr", {}, el("th", { scope: "row", text: say(name) }), el("td", { text: plain(name, value, say) }));

  // `{extension: JSON}` → nodes; a list is one table for each of its entries.
  function view(receipts) {
    if (!receipts || typeof receipts !== "object") return [];
    return Object.entries(receipts).flatMap(([extension, receipt]) => {
      const entries = Array.isArray(receipt) ? receipt : [receipt];
      const say = speaker(extension);
      return [el("h3", { text: t("receipt", { name: worded(`extension.${extension}`, extension) }) }),
        ...entries.map((entry) => el("table", { class: "nz-table nz-receipt" }, el("tbody", {},
          ...(entry && typeof entry === "object" && !Array.isArray(entry) ? Object.entries(entry).map(([name, value]) => row(name, value, say)) : [row("", entry, say)]))))];
    });
  }

  // Read when the details are opened: the lists need not carry them.
  document.addEventListener("toggle", async (event) => {
    const box = event.target;
    const id = box.dataset?.receipts;
    if (!id || !box.open || box.querySelector(".nz-receipt")) return;
    try {
      const said = await ask(`read/${id}`);
      if (!box.querySelector(".nz-receipt")) box.append(...view(said.receipts));
    } catch { /* the parameters stand there already; the next opening tries again */ }
  }, true);

  window.noisette.receipts = view;
})();
