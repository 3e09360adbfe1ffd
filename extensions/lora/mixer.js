// The Style Mixer. Rows of the mixer and tags of the prompt are the same thing shown twice: an edit on either side goes
// through Python (`server.lora_…`), whose answer fills the other. What a file or a person wrote is put in as text.
const root = element.querySelector(".lora-mixer");
const { t, pick: said, el, button } = window.noisette.panel(props.words);
const CURVES = JSON.parse(props.curves);

let rows = [];
let cards = {};
let open = new Set();
let seen = null;      // the prompt as it was when both sides agreed
let busy = 0;         // edits that Python has not answered yet
let filling = 0;      // Python has set the rows and both sides are being made alike
let serial = 0;

const panel = () => element.closest('[id$="panel-lora"]');
const promptBox = () => {
  const id = panel()?.id;
  return id ? document.getElementById(id.replace(/panel-lora$/, "prompt"))?.querySelector("textarea") : null;
};
const store = () => document.querySelector(`[data-lora-store="${props.uid}"]`)?.loraStore;


async function ask(name, data) {
  try {
    const answer = await server[name](data);
    if (answer?.error) { tell(said(answer.error), true); return null; }
    return answer;
  } catch {
    tell(t("failed"), true);
    return null;
  }
}

// ---------------------------------------------------------------------------------------------- both sides

function type(text) {
  const box = promptBox();
  seen = text;
  if (!box || box.value === text) return;
  const native = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set;
  native.call(box, text);
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

function keep() { store()?.set(rows.map((row) => ({ ...row }))); }

let waiting = 0;
function edited({ redraw = true } = {}) {
  keep();
  if (redraw) draw();
  busy += 1;
  clearTimeout(waiting);
  const mine = ++serial;
  waiting = setTimeout(async () => {
    const box = promptBox();
    const answer = box ? await ask("lora_to_prompt", { prompt: box.value, rows }) : null;
    busy = 0;
    if (answer && mine === serial) { type(answer.prompt); unread(answer.unread); }
  }, 180);
}

async function promptEdited(text) {
  seen = text;
  const mine = ++serial;
  const answer = await ask("lora_to_rows", { prompt: text, rows });
  if (!answer || mine !== serial) return;
  unread(answer.unread);
  if (JSON.stringify(answer.rows) === JSON.stringify(rows)) return;
  rows = answer.rows;
  keep();
  draw();
  describe();
}

async function filled() {
  filling += 1;
  try { await fillBoth(); } finally { filling -= 1; }
}

async function fillBoth() {
  const held = store()?.get();
  const given = Array.isArray(held) ? held : [];
  if (JSON.stringify(given) === JSON.stringify(rows)) return;
  const box = promptBox();
  const mine = ++serial;
  const answer = await ask("lora_both", { prompt: box?.value ?? "", rows: given });
  if (!answer || mine !== serial) return;
  rows = answer.rows;
  if (box) type(answer.prompt);
  keep();
  draw();
  describe();
}

// Whoever changes the prompt (a person, a recalled picture, a style) is noticed alike.
let before = null;
const watchPrompt = setInterval(() => {
  if (!element.isConnected) { clearInterval(watchPrompt); return; }
  const text = promptBox()?.value;
  if (text === undefined || busy || filling) return;
  if (text !== before) { before = text; return; }   // still typing: wait until it rests
  if (seen === null && !text) { seen = text; return; }
  if (text !== seen) promptEdited(text);
}, 350);

const attach = setInterval(() => {
  const holder = document.querySelector(`[data-lora-store="${props.uid}"]`);
  if (!holder) return;
  clearInterval(attach);
  holder.addEventListener("lora-rows", () => {
    filling += 1;   // from now on: the prompt may come before the rows have been read
    setTimeout(() => { filling -= 1; filled(); }, 120);
  });
  filled();
}, 100);

async function describe() {
  const kit = window.noisette?.kit;
  let model = "";
  let family = "";
  try {
    model = kit?.modelOf(kit.current()) ?? "";
    family = kit?.models()?.cards?.[model]?.family ?? "";
  } catch { /* a page without them: no warning, as nothing is known */ }
  if (!rows.length) return;
  const answer = await ask("lora_cards", { rows, family, model });
  if (answer) { cards = answer.cards; draw(); }
}

// ---------------------------------------------------------------------------------------------- drawing

const live = el("div", { "aria-live": "polite", class: "lora-live" });
const notice = el("div", { class: "lora-notice", role: "status", hidden: true });
const list = el("ol", { class: "lora-rows" });
const shelf = el("div", { class: "lora-shelf", hidden: true });
const blendBox = el("details", { class: "lora-blends" });
const addButton = button(t("add"), () => showShelf(shelf.hidden), { class: "lora-add", "aria-expanded": "false" });
root.append(el("div", { class: "lora-bar" }, addButton), shelf, notice, list, blendBox, live);

function tell(text, bad) {
  notice.textContent = text;
  notice.hidden = !text;
  notice.classList.toggle("lora-bad", Boolean(bad));
}
function unread(what) { if (what?.length) tell(t("unread", { what: what.join(", ") }), true); else if (notice.classList.contains("lora-bad")) tell(""); }

const cardOf = (row) => cards[`${row.kind}:${row.name}`] || {};
const number = (value) => { const n = Number(value); return Number.isFinite(n) ? n : 0; };
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

function draw() {
  const active = root.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  list.replaceChildren(...(rows.length ? rows.map(drawRow) : [el("li", { class: "lora-empty", text: t("empty") })]));
  if (active) list.querySelector(`[data-focus="${CSS.escape(active)}"]`)?.focus({ preventScroll: true });
}

function drawRow(row, place) {
  const card = cardOf(row);
  const name = card.title || row.name;
  const key = (what) => `${place}:${what}`;
  const set = (changes, options) => { rows[place] = { ...rows[place], ...changes }; edited(options); };
  const slide = el("input", {
    type: "range", min: -1, max: 2, step: 0.05, value: clamp(row.weight, -1, 2), "aria-label": `${t("weight")}: ${name}`,
    "data-focus": key("slide"),
  });
  const exact = el("input", {
    type: "number", min: -10, max: 10, step: 0.05, value: row.weight, "aria-label": `${t("weight")}: ${name}`, "data-focus": key("weight"),
  });
  slide.addEventListener("input", () => { exact.value = slide.value; set({ weight: number(slide.value) }, { redraw: false }); });
  exact.addEventListener("change", () => { const w = clamp(number(exact.value), -10, 10); slide.value = w; exact.value = w; set({ weight: w }, { redraw: false }); });
  const item = el("li", { class: "lora-row" + (row.on ? "" : " lora-off") },
    el("div", { class: "lora-head" },
      el("span", { class: "lora-grip", draggable: true, title: t("drag"), "aria-hidden": "true", text: "⠿", on: {
        dragstart: (event) => { event.dataTransfer.setData("text/plain", String(place)); event.dataTransfer.effectAllowed = "move"; item.classList.add("lora-dragged"); },
        dragend: () => item.classList.remove("lora-dragged"),
      } }),
      thumb(card.thumb),
      el("label", { class: "lora-name" },
        el("input", { type: "checkbox", role: "switch", checked: row.on, "aria-label": `${t("on")}: ${name}`, "data-focus": key("on"), on: { change: (event) => set({ on: event.target.checked }) } }),
        el("span", { text: row.kind === "blend" ? `${t("blend")}: ${name}` : name, title: row.name })),
      slide, exact,
      button("↑", () => move(place, place - 1), { "aria-label": t("up", { name }), disabled: place === 0, "data-focus": key("up") }),
      button("↓", () => move(place, place + 1), { "aria-label": t("down", { name }), disabled: place === rows.length - 1, "data-focus": key("down") }),
      button("×", () => { rows.splice(place, 1); open.delete(row.name); edited(); }, { "aria-label": t("remove", { name }), "data-focus": key("remove") })),
    facts(row, card),
    row.kind === "lora" && details(row, card, place, set, key));
  item.addEventListener("dragover", (event) => { event.preventDefault(); item.classList.add("lora-over"); });
  item.addEventListener("dragleave", () => item.classList.remove("lora-over"));
  item.addEventListener("drop", (event) => {
    event.preventDefault();
    item.classList.remove("lora-over");
    const from = Number(event.dataTransfer.getData("text/plain"));
    if (Number.isInteger(from) && from >= 0 && from < rows.length) move(from, place);
  });
  return item;
}

function thumb(source) {
  return source?.startsWith("data:image/") ? el("img", { src: source, alt: "", class: "lora-thumb" }) : el("span", { class: "lora-thumb", "aria-hidden": "true" });
}

function facts(row, card) {
  if (card.error) return el("p", { class: "lora-facts lora-bad", text: said(card.error) });
  const parts = row.kind === "blend" ? [card.holds, card.note] : [
    card.base, card.kinds?.join(" + "), card.rank && t("rank", { rank: card.rank }),
    card.keys && t("recognised", { percent: Math.floor(card.fraction * 1000) / 10, keys: card.keys }),
  ];
  return el("div", {},
    el("p", { class: "lora-facts", text: parts.filter(Boolean).join(" · ") }),
    card.warning && el("p", { class: "lora-facts lora-bad", text: said(card.warning) }));
}

function field(label, input) { return el("label", { class: "lora-field" }, el("span", { text: label }), input); }

function details(row, card, place, set, key) {
  const limited = (value, name, change, low = -10, high = 10, step = 0.05) => {
    const input = el("input", { type: "number", min: low, max: high, step, value, "data-focus": key(name) });
    input.addEventListener("change", () => { input.value = input.value === "" ? "" : clamp(number(input.value), low, high); change(input.value); });
    return input;
  };
  const te = limited(row.te ?? "", "te", (value) => set({ te: value === "" ? null : number(value) }, { redraw: false }));
  te.placeholder = t("te.same");
  const block = (name) => field(t(name), limited(row.blocks[name] ?? 1, name, (value) => {
    const blocks = { ...rows[place].blocks };
    if (value === "" || number(value) === 1) delete blocks[name]; else blocks[name] = number(value);
    set({ blocks }, { redraw: false });
  }));
  const singles = Object.entries(row.blocks).filter(([name]) => !["in", "mid", "out"].includes(name));
  const single = el("input", { type: "text", value: singles.map(([n, w]) => `${n}=${w}`).join(", "), "data-focus": key("single") });
  single.addEventListener("change", () => {
    const kept = Object.fromEntries(Object.entries(rows[place].blocks).filter(([n]) => ["in", "mid", "out"].includes(n)));
    for (const found of single.value.matchAll(/((?:in|out)\d{1,2}|base)\s*=\s*(-?[\d.]+)/g)) kept[found[1]] = clamp(number(found[2]), -10, 10);
    set({ blocks: kept });
  });
  const preset = Object.keys(CURVES).find((name) => JSON.stringify(CURVES[name]) === JSON.stringify(row.curve)) ?? "own";
  const curve = el("select", { "data-focus": key("curve") }, [...Object.keys(CURVES), ...(preset === "own" ? ["own"] : [])].map((name) =>
    el("option", { value: name, text: t(name), selected: name === preset })));
  curve.addEventListener("change", () => { if (CURVES[curve.value]) set({ curve: CURVES[curve.value] }); });
  const points = el("input", { type: "text", value: row.curve.map(([share, height]) => `${height}@${share}`).join("; "), "data-focus": key("points") });
  points.addEventListener("change", () => {
    const found = [...points.value.matchAll(/(-?[\d.]+)\s*@\s*([\d.]+)/g)].map((m) => [clamp(number(m[2]), 0, 1), clamp(number(m[1]), -10, 10)]);
    const unique = new Map(found.sort((a, b) => a[0] - b[0]).slice(0, 32));
    set({ curve: [...unique] });
  });
  const start = limited(row.start, "start", (v) => { const n = clamp(number(v), 0, 1); set({ start: n, end: Math.max(n, rows[place].end) }); }, 0, 1);
  const end = limited(row.end, "end", (v) => { const n = v === "" ? 1 : clamp(number(v), 0, 1); set({ end: n, start: Math.min(n, rows[place].start) }); }, 0, 1);
  const words = card.words ?? [];
  const box = el("details", { open: open.has(row.name), on: { toggle: (event) => { if (event.target.open) open.add(row.name); else open.delete(row.name); } } },
    el("summary", { text: t("details"), "data-focus": key("details") }),
    el("div", { class: "lora-grid" },
      field(t("te"), te), block("in"), block("mid"), block("out"), field(t("start"), start), field(t("end"), end),
      field(t("curve"), curve), field(t("points"), points), field(t("single"), single)),
    words.length > 0 && el("label", { class: "lora-words" },
      el("input", { type: "checkbox", checked: row.triggers, "data-focus": key("triggers"), on: { change: (event) => trigger_(place, words, event.target.checked) } }),
      el("span", { text: `${t("triggers")}: ${words.join(", ")}` })),
    card.tags?.length > 0 && el("p", { class: "lora-facts", text: t("tags", { tags: card.tags.slice(0, 8).map(([tag]) => tag).join(", ") }) }),
    card.note && el("p", { class: "lora-facts", text: card.note }));
  return box;
}

async function trigger_(place, words, wanted) {
  rows[place] = { ...rows[place], triggers: wanted };
  keep();
  const answer = await ask("lora_words", { prompt: promptBox()?.value ?? "", words, wanted });
  if (answer) type(answer.prompt);
}

function move(from, to) {
  if (to < 0 || to >= rows.length || from === to) return;
  const [row] = rows.splice(from, 1);
  rows.splice(to, 0, row);
  edited();
  live.textContent = t("moved", { name: row.name, n: to + 1, m: rows.length });
  // The button that was pressed has moved with its row; at the end of the list it is off, so the other takes over.
  const which = to < from ? ["up", "down"] : ["down", "up"];
  for (const name of which) {
    const next = list.querySelector(`[data-focus="${to}:${name}"]`);
    if (next && !next.disabled) { next.focus(); break; }
  }
}

// ---------------------------------------------------------------------------------------------- adding

const search = el("input", { type: "search", placeholder: t("search"), "aria-label": t("search") });
const results = el("div", { class: "lora-results" });
const count = el("p", { class: "lora-facts", "aria-live": "polite" });
shelf.append(search, count, results);
let searching = 0;
search.addEventListener("input", () => { clearTimeout(searching); searching = setTimeout(() => look(0), 200); });
shelf.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  event.stopPropagation();
  event.preventDefault();
  showShelf(false);
});

function showShelf(shown) {
  shelf.hidden = !shown;
  addButton.setAttribute("aria-expanded", String(shown));
  addButton.textContent = shown ? t("close") : t("add");
  if (shown) { look(0); search.focus(); } else addButton.focus();
}

async function look(page) {
  const answer = await ask("lora_search", { words: search.value, page });
  if (!answer) return;
  if (!page) results.replaceChildren();
  results.querySelector(".lora-next")?.remove();
  count.textContent = answer.total ? t("found", { n: answer.total }) : t(search.value ? "nothing" : "none");
  for (const item of answer.items) {
    results.append(el("button", { type: "button", class: "lora-card", title: item.error ? said(item.error) : item.base, disabled: Boolean(item.error), on: { click: () => add(item) } },
      thumb(item.thumb), el("span", { text: item.title })));
  }
  if ((page + 1) * answer.page < answer.total) results.append(button(t("more"), () => look(page + 1), { class: "lora-next" }));
}

function add(item) {
  rows.push({ ...EMPTY, name: item.name, weight: item.weight ?? 1 });
  edited();
  describe();
  live.textContent = `${item.title} +`;
}
const EMPTY = { name: "", kind: "lora", on: true, weight: 1, te: null, blocks: {}, start: 0, end: 1, curve: [], triggers: false, pictures: [], hash: "" };

// ---------------------------------------------------------------------------------------------- blends

const chosen = el("select", { "aria-label": t("blend.choose") });
const blendName = el("input", { type: "text", maxlength: 80, placeholder: t("blend.name"), "aria-label": t("blend.name") });
const blendNote = el("input", { type: "text", maxlength: 4000, placeholder: t("blend.note"), "aria-label": t("blend.note") });
const over = el("input", { type: "checkbox" });
const file = el("input", { type: "file", accept: ".json,application/json", hidden: true });
blendBox.append(
  el("summary", { text: t("blend") }),
  el("div", { class: "lora-line" }, chosen,
    button(t("blend.use"), () => { if (chosen.value) { rows.push({ ...EMPTY, name: chosen.value, kind: "blend" }); edited(); describe(); } }),
    button(t("blend.load"), async () => { const found = chosen.value && await ask("lora_blend", { name: chosen.value }); if (found) take(found.blend); }),
    button(t("blend.export"), async () => { const found = chosen.value && await ask("lora_blend", { name: chosen.value }); if (found) download(found.blend); }),
    button(t("blend.import"), () => file.click()), file),
  el("div", { class: "lora-line nz-owner" }, blendName, blendNote,
    el("label", { class: "lora-words" }, over, el("span", { text: t("blend.over") })),
    button(t("blend.save"), save)));
blendBox.addEventListener("toggle", () => { if (blendBox.open) ask("lora_blends", {}).then((found) => found && listBlends(found.names)); });
file.addEventListener("change", async () => {
  const given = file.files[0];
  file.value = "";
  if (!given) return;
  const found = await ask("lora_read_blend", { text: given.size > 1_000_000 ? "x".repeat(1_000_001) : await given.text() });
  if (found) take(found.blend);
});

function listBlends(names) { chosen.replaceChildren(el("option", { value: "", text: t("blend.choose") }), ...names.map((name) => el("option", { value: name, text: name }))); }
function take(blend) {
  rows = blend.rows;
  blendName.value = blend.name;
  blendNote.value = blend.note;
  edited();
  describe();
}
function download(blend) {
  const link = el("a", { href: URL.createObjectURL(new Blob([JSON.stringify(blend, null, 1)], { type: "application/json" })), download: `${blend.name}.json` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
async function save() {
  const picture = await shown();
  const found = await ask("lora_save_blend", { name: blendName.value, note: blendNote.value, rows, picture, over: over.checked });
  if (!found) return;
  listBlends(found.names);
  over.checked = false;
  tell(t("blend.saved", { name: found.blend.name }));
}
// The picture on the canvas, small, as the blend's own.
async function shown() {
  const image = document.querySelector("#nz-canvas img, #nz-img2img-canvas img");
  if (!image?.complete || !image.naturalWidth) return "";
  const scale = Math.min(1, 192 / Math.max(image.naturalWidth, image.naturalHeight));
  const canvas = el("canvas", { width: Math.round(image.naturalWidth * scale), height: Math.round(image.naturalHeight * scale) });
  try {
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    const data = canvas.toDataURL("image/webp", 0.8);
    return /^data:image\/(webp|png);base64,/.test(data) ? data : "";
  } catch { return ""; }
}

listBlends([]);
draw();
