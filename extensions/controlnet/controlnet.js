// ControlNet's units. What a person or a file wrote is put in as text; the hidden store holds what a request is made of.
const root = element.querySelector(".control-units");
const { language, t, pick, el, button } = window.noisette.panel(props.words);

const NEW = {
  enabled: true, image: "", mask_image: "", module: "none", model: "None", weight: 1, guidance_start: 0,
  guidance_end: 1, control_mode: "balanced", resize_mode: "crop_and_resize", hr_option: "both", pixel_perfect: true,
  processor_res: -1, threshold_a: -1, threshold_b: -1, save_detected_map: false,
};
let units = [];
let choices = { modules: [], models: [], most: 16 };
let previews = [];    // by unit: the address of the map that was made, or null
const said = el("p", { class: "control-bad", role: "alert", hidden: true });
const live = el("p", { class: "control-muted", role: "status" });
function tell(text) { said.textContent = text; said.hidden = !text; }

const store = () => document.querySelector(`[data-control-store="${props.uid}"]`)?.controlStore;
const size = (name) => {
  const id = element.closest('[id$="panel-controlnet"]')?.id;
  const field = id ? document.getElementById(id.replace(/panel-controlnet$/, name)) : null;
  return Number(field?.querySelector("input")?.value) || 512;
};

async function ask(name, data) {
  let answer;
  try { answer = await server[name](data); } catch { tell(t("failed")); return null; }
  if (answer?.error) { tell(pick(answer.error)); return null; }
  return answer;
}

function keep() { store()?.set(units.map((unit) => ({ ...unit }))); }
function change(n, values, redraw = false) {
  units[n] = { ...units[n], ...values };
  keep();
  if (redraw) draw();
}

async function hand(n, file, field) {
  tell("");
  let answer;
  try {
    const response = await fetch(`./ui/inputs?name=${encodeURIComponent(file.name || "picture")}`, {
      method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" }, cache: "no-store",
    });
    answer = await response.json();
  } catch { tell(t("failed")); return; }
  if (answer.error) { tell(pick(answer.error)); return; }
  forget(n);
  change(n, { [field]: answer.id, ...(field === "image" ? { enabled: true } : {}) }, true);
}

async function preview(n) {
  tell("");
  live.textContent = t("making");
  const unit = units[n];
  const made = await mapOf(unit);
  live.textContent = "";
  if (units[n]?.image === unit.image) forget(n, made);
  else if (made) URL.revokeObjectURL(made);  // the unit or its picture was taken away meanwhile
  draw();
}
function forget(n, other = null) {
  if (previews[n]) URL.revokeObjectURL(previews[n]);
  previews[n] = other;
}
async function mapOf(unit) {
  let answer = null;
  try {
    const body = JSON.stringify({ unit, width: size("width"), height: size("height") });
    const response = await fetch("./controlnet/preview", { method: "POST", body, headers: { "Content-Type": "application/json" }, cache: "no-store" });
    if (response.headers.get("content-type") === "image/png") return URL.createObjectURL(await response.blob());
    answer = await response.json();
  } catch { /* no answer, or none that can be read */ }
  tell(pick(answer?.error) || t("failed"));
  return null;
}

let looking = 0;
async function fetchWeights(name) {
  tell("");
  if (!await ask("control_fetch", { module: name })) return;
  clearInterval(looking);
  looking = setInterval(async () => {
    const answer = element.isConnected ? await ask("control_fetching", {}) : null;
    if (answer?.module) { live.textContent = t("fetching", { percent: Math.round(100 * answer.share) }); return; }
    clearInterval(looking);
    live.textContent = answer ? t("fetched") : "";
    await choose();
    draw();
  }, 700);
}

// ---------------------------------------------------------------------------------------------- one unit

function labelled(text, control, more) {
  return el("label", { class: `control-field ${more || ""}` }, el("span", { text }), control);
}
function select(n, field, pairs) {
  const control = el("select", { "data-field": field, on: { change: () => change(n, { [field]: control.value }, field === "module") } },
    pairs.map(([value, text]) => el("option", { value, text })));
  const known = pairs.some(([value]) => value === units[n][field]);
  if (!known) control.append(el("option", { value: units[n][field], text: units[n][field] }));
  control.value = units[n][field];
  return control;
}
function slider(n, field, text, low, high, step, shown) {
  const number = el("input", { type: "number", min: low, max: high, step, value: shown, "aria-label": text, "data-field": field });
  const range = el("input", { type: "range", min: low, max: high, step, value: shown, "aria-label": text });
  const set = (value) => { change(n, { [field]: Math.min(high, Math.max(low, Number(value) || 0)) }); };
  range.addEventListener("input", () => { number.value = range.value; set(range.value); });
  number.addEventListener("change", () => { set(number.value); number.value = range.value = units[n][field]; });
  return el("div", { class: "control-slider" }, el("span", { text }), number, range);
}
function tick(n, field, text, redraw) {
  const box = el("input", { type: "checkbox", "data-field": field, on: { change: () => change(n, { [field]: box.checked }, redraw) } });
  box.checked = Boolean(units[n][field]);
  return el("label", { class: "control-tick" }, box, el("span", { text }));
}
function place(n, field, text) {
  const input = el("input", { type: "file", accept: "image/png,image/jpeg,image/webp", class: "control-file", "data-file": field, on: { change: () => input.files[0] && hand(n, input.files[0], field) } });
  const id = units[n][field];
  const box = el("div", { class: "control-place", on: {
    dragover: (event) => event.preventDefault(),
    drop: (event) => { event.preventDefault(); const file = event.dataTransfer?.files?.[0]; if (file) hand(n, file, field); },
  } },
    el("label", { class: "control-pick" }, input,
      id ? el("img", { src: `./ui/inputs/${id}`, alt: text }) : el("span", { text: t("choose") })),
    id && button("×", () => { forget(n); change(n, { [field]: "" }, true); }, { class: "control-clear", "aria-label": t("clear") }));
  return el("figure", {}, el("figcaption", { text }), box);
}

function row(n) {
  const unit = units[n];
  const module = choices.modules.find((each) => each.name === unit.module);
  const models = [["None", t("none")], ...choices.models.map((each) => [each.name, each.title])];
  const modules = choices.modules.map((each) => [each.name, language === "zh" ? `${each.zh} · ${each.name}` : each.name]);
  const lacks = module?.missing?.length ? module : null;
  const refers = unit.module === "ip-adapter-auto";  // a reference has no map: what only maps have stays away
  const sliders = (module?.sliders ?? []).map((one, at) => {
    const field = at ? "threshold_b" : "threshold_a";
    const shown = unit[field] < 0 ? one.value : unit[field];
    return slider(n, field, language === "zh" ? one.name_zh : one.name, one.low, one.high, one.step, shown);
  });
  const choice = (field, names) => labelled(t(field), select(n, field, names.map((name) => [name, t(name)])));
  return el("section", { class: "control-unit", "data-unit": n, "aria-label": t("unit", { n: n + 1 }) },
    el("header", {}, el("strong", { text: t("unit", { n: n + 1 }) }), tick(n, "enabled", t("enable")),
      button("×", () => { forget(n); units.splice(n, 1); previews.splice(n, 1); keep(); draw(); }, { class: "control-remove", "aria-label": t("remove", { n: n + 1 }) })),
    el("div", { class: "control-pictures" },
      place(n, "image", t(refers ? "reference" : "image")),
      el("figure", {}, el("figcaption", { text: t(refers ? "seen" : "map") }),
        el("div", { class: "control-place" }, previews[n] && el("img", { class: "control-map", src: previews[n], alt: t(refers ? "seen" : "map") })),
        button(t("preview"), () => preview(n), { class: "control-preview", disabled: !unit.image })),
      place(n, "mask_image", t("mask"))),
    el("div", { class: "control-grid" },
      labelled(t("module"), select(n, "module", modules)),
      labelled(t("model"), select(n, "model", models)),
      lacks && el("p", { class: "control-needs" }, el("span", { text: `${unit.module} ${t("needs", { files: lacks.missing.join(", "), mb: lacks.megabytes })}` }),
        button(t("fetch"), () => fetchWeights(unit.module), { class: "control-fetch nz-owner" })),
      sliders,
      slider(n, "weight", t("weight"), 0, 2, 0.05, unit.weight),
      slider(n, "guidance_start", t("start"), 0, 1, 0.01, unit.guidance_start),
      slider(n, "guidance_end", t("end"), 0, 1, 0.01, unit.guidance_end),
      !refers && choice("control_mode", ["balanced", "prompt", "control"]),
      (!refers || unit.mask_image) && choice("resize_mode", ["just_resize", "crop_and_resize", "resize_and_fill"]),
      choice("hr_option", ["both", "low_res_only", "high_res_only"]),
      !refers && tick(n, "pixel_perfect", t("pixel_perfect"), true),
      !unit.pixel_perfect && module?.sized && slider(n, "processor_res", t("processor_res"), 64, 2048, 8, unit.processor_res < 64 ? 512 : unit.processor_res),
      !refers && tick(n, "save_detected_map", t("save"))));
}

function draw() {
  const focus = document.activeElement?.dataset?.field;
  const at = document.activeElement?.closest?.("[data-unit]")?.dataset.unit;
  root.replaceChildren(...[
    el("div", { class: "control-list" }, units.map((_, n) => row(n))),
    !choices.models.length && el("p", { class: "control-muted", text: t("no_models") }),
    units.length < choices.most && button(`+ ${t("add")}`, async () => { await choose(); units.push({ ...NEW }); previews.push(null); keep(); draw(); }, { class: "control-add" }),
    said, live].filter(Boolean));
  if (focus && at !== undefined && root.contains(document.activeElement) === false) root.querySelector(`[data-unit="${at}"] [data-field="${focus}"]`)?.focus();
}

async function choose() {
  const answer = await ask("control_choices", {});
  if (answer) choices = answer;
}

const attach = setInterval(() => {
  const holder = document.querySelector(`[data-control-store="${props.uid}"]`);
  if (!holder) return;
  clearInterval(attach);
  const filled = () => {
    const given = store()?.get();
    const now = Array.isArray(given) ? given.map((unit) => ({ ...NEW, pixel_perfect: false, ...unit })) : [];
    if (JSON.stringify(now) === JSON.stringify(units)) return;
    units = now;
    previews.forEach((_, n) => forget(n));
    previews = units.map(() => null);
    draw();
  };
  holder.addEventListener("control-units", () => setTimeout(filled, 60));
  filled();
}, 100);
new MutationObserver(() => draw()).observe(document.documentElement, { attributes: true, attributeFilter: ["lang"] });
choose().then(draw);
