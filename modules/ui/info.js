// What a picture says of itself: the PNG info tab, and pictures that are dropped on a tab to fill its fields.
"use strict";

(() => {
  const { $, MAKERS, idOf, el, button, t, pick, tell, part, openTab, fill, copy, current } = window.noisette.kit;
  let shown = null;   // {name, url, said} of the tab
  let reading = false;
  let problem = "";

  async function read(file) {
    let response;
    try {
      response = await fetch(`./ui/read?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" }, signal: AbortSignal.timeout(60_000) });
    } catch {
      throw new Error(t("error.connection"));
    }
    const said = await response.json().catch(() => null);
    if (!said) throw new Error(t("error.connection"));
    if (said.error) throw new Error(pick(said.error));
    return said;
  }

  // ------------------------------------------------------------------------------------------ the tab

  async function look(file) {
    reading = true;
    problem = "";
    draw();
    try {
      const said = await read(file);
      if (shown) URL.revokeObjectURL(shown.url);
      shown = { name: file.name, url: URL.createObjectURL(file), said, file };
    } catch (error) {
      problem = error.message;
    }
    reading = false;
    draw();
  }

  function draw() {
    part("nz-info-body", [shown?.url, reading, problem].join(), () => [
      dropZone(),
      problem ? el("p", { class: "nz-bad-text", role: "alert", text: problem }) : null,
      shown ? view(shown) : null,
    ]);
  }
  function dropZone() {
    const input = el("input", { type: "file", accept: "image/png,image/jpeg,image/webp", class: "nz-unseen", tabindex: "-1", "aria-hidden": "true" });
    input.addEventListener("change", () => { if (input.files[0]) look(input.files[0]); input.value = ""; });
    return el("div", { class: shown ? "nz-drop nz-drop-low" : "nz-drop" },
      el("p", { text: reading ? t("info.reading") : t("info.drop") }),
      button(t("editor.choose"), () => input.click(), { "data-focus": "choose" }), input);
  }
  function view({ name, url, said, file }) {
    const note = el("span", { class: "nz-said", role: "status" });
    const rows = Object.entries(said.parameters);
    const word = (key, text) => (text ? [el("h3", { text: t(key) }), el("p", { class: "nz-quote", text })] : []);
    const send = said.request ? [
      button(t("info.to.txt2img"), () => use(said, "txt2img"), { "data-focus": "txt" }),
      button(t("info.to.img2img"), async () => { use(said, "img2img"); await take(file, "img2img"); }, { "data-focus": "img" })] : [];
    return el("div", { class: "nz-info" },
      el("figure", {}, el("img", { src: url, alt: name }), el("figcaption", { class: "nz-muted", text: name })),
      el("div", { class: "nz-info-words" },
        said.infotext ? null : el("p", { class: "nz-nothing", text: t("info.none") }),
        said.problem ? el("p", { class: "nz-bad-text", role: "alert", text: pick(said.problem) }) : null,
        ...word("prompt", said.prompt), ...word("negative", said.negative_prompt),
        rows.length ? el("table", { class: "nz-table" },
          el("caption", { class: "nz-unseen", text: t("info.parameters") }),
          el("tbody", {}, ...rows.map(([key, value]) => el("tr", {}, el("th", { scope: "row", text: key }), el("td", { text: value }))))) : null,
        ...window.noisette.receipts(said.receipts),
        el("div", { class: "nz-actions" }, ...send,
          button(t("info.to.source"), () => take(file, "img2img"), { "data-focus": "source" }),
          button(t("info.to.inpaint"), () => take(file, "inpaint"), { "data-focus": "inpaint" }),
          said.infotext ? button(t("copy"), () => copy(said.infotext, note), { "data-focus": "copy" }) : null, note),
        said.infotext ? el("details", { class: "nz-details" }, el("summary", { text: t("info.raw"), "data-focus": "raw" }), el("pre", { tabindex: "0", text: said.infotext })) : null));
  }

  function use(said, tab) {
    openTab(tab);
    // An img2img request belongs to its own picture; on txt2img it counts without.
    const request = { ...said.request };
    if (tab !== "img2img" || !said.exact) delete request.img2img;
    fill(tab, { what: said.exact ? "request" : "text", request, text: said.infotext });
  }
  async function take(file, mode) {
    try {
      const response = await fetch(`./ui/inputs?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
      const given = await response.json();
      if (given.error) throw new Error(pick(given.error));
      openTab("img2img");
      window.noisette.hand("img2img", given, mode);
    } catch (error) {
      problem = error.name === "TypeError" ? t("error.connection") : error.message;
      draw();
    }
  }

  // ------------------------------------------------------------------------------------------ dropped on the page

  const isFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  document.addEventListener("dragover", (event) => { if (isFiles(event)) event.preventDefault(); });
  document.addEventListener("drop", async (event) => {
    if (!isFiles(event) || event.defaultPrevented) return;
    event.preventDefault();  // or the browser would leave the page for the picture
    const file = [...event.dataTransfer.files].find((one) => one.type.startsWith("image/"));
    if (!file) return;
    if ($("nz-info")?.checkVisibility()) { look(file); return; }
    if (!MAKERS.some((tab) => $(idOf(tab, "create"))?.checkVisibility())) return;
    const tab = current();
    try {
      const said = await read(file);
      if (said.request) fill(tab, { what: said.exact ? "request" : "text", request: said.request, text: said.infotext });
      else tell(t("drop.nothing"), "good", { text: t("drop.begin"), run: () => { tell(null); take(file, "img2img"); } });
    } catch (error) {
      tell(error.message, "bad");
    }
  });
  document.addEventListener("paste", (event) => {
    if (!$("nz-info")?.checkVisibility()) return;
    const file = [...(event.clipboardData?.files || [])].find((one) => one.type.startsWith("image/"));
    if (file) { event.preventDefault(); look(file); }
  });

  window.noisette.join({ draw });
})();
