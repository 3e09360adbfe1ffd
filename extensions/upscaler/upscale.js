// The Upscale tab. Files are handed in, each becomes a job of the queue; what a person or a file wrote is put in as text.
const root = element.querySelector(".upscale-tab");
const { language, t, pick, el, button } = window.noisette.panel(props.words);
const kit = () => window.noisette.kit;

const SUFFIX = /\.(png|jpe?g|webp)$/i;
const AT_ONCE = 50;     // pictures of one request
const items = [];       // {name, id, width, height, infotext, state, job, result, error}
const values = {};      // of the options, by name
let shown = null;       // the item whose result is compared
let fields = null;

const said = el("p", { class: "upscale-bad", role: "alert", hidden: true });
const live = el("p", { class: "upscale-muted", role: "status" });
function tell(text) { said.textContent = text; said.hidden = !text; }

async function post(path, body, type) {
  let response;
  try {
    response = await fetch(path, { method: "POST", body, headers: { "Content-Type": type }, cache: "no-store" });
  } catch {
    throw new Error(t("connection"));
  }
  const answer = await response.json().catch(() => null);
  if (answer?.error) throw new Error(pick(answer.error));
  if (!answer || !response.ok) throw new Error(t("connection"));
  return answer;
}

// ---------------------------------------------------------------------------------------------- files

async function take(files) {
  tell("");
  const pictures = files.filter((file) => SUFFIX.test(file.name));
  const left = files.length - pictures.length;
  if (left) tell(t("left", { n: left }));
  const added = pictures.map((file) => ({ file, name: file.name, state: "reading" }));
  items.push(...added);
  drawList();
  for (const item of added) {
    try {
      const given = await post(`./ui/inputs?name=${encodeURIComponent(item.name)}`, item.file, "application/octet-stream");
      Object.assign(item, given, { state: "ready" });
    } catch (error) {
      Object.assign(item, { state: "failed", error: error.message });
    }
    delete item.file;
    drawList();
  }
}
async function takeLatest() {
  tell("");
  const picture = kit().lists().pictures[0];
  if (!picture) { tell(t("latest.none")); return; }
  try {
    const given = await post(`./ui/inputs/from/${picture.id}`, "", "application/json");
    items.push({ name: `${picture.id}.png`, ...given, state: "ready" });
  } catch (error) { tell(error.message); }
  drawList();
}

const one = el("input", { type: "file", accept: "image/png,image/jpeg,image/webp", multiple: true, hidden: true });
const folder = el("input", { type: "file", webkitdirectory: true, hidden: true });
for (const input of [one, folder]) input.addEventListener("change", () => { take([...input.files]); input.value = ""; });
const drop = el("div", { class: "upscale-drop" },
  el("p", { class: "upscale-muted", text: t("drop") }),
  el("div", { class: "upscale-line" }, button(t("files"), () => one.click()), button(t("folder"), () => folder.click()), button(t("latest"), takeLatest)), one, folder);
async function entries(transfer) {
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) { found.push(await new Promise((good, bad) => entry.file(good, bad))); return; }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((good, bad) => reader.readEntries(good, bad));
      if (!some.length) return;
      for (const each of some) await walk(each);
    }
  };
  const given = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!given.length) return [...transfer.files];
  for (const entry of given) await walk(entry);
  return found;
}
root.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("upscale-over"); });
root.addEventListener("dragleave", () => drop.classList.remove("upscale-over"));
root.addEventListener("drop", async (event) => {
  event.preventDefault();
  drop.classList.remove("upscale-over");
  take(await entries(event.dataTransfer));
});

const list = el("ul", { class: "upscale-list", "aria-label": t("list"), tabindex: "0" });
const clear = button(t("clear"), () => {
  for (const item of [...items]) if (!["queued", "running"].includes(item.state)) items.splice(items.indexOf(item), 1);
  drawList();
}, { hidden: true });
function drawList() {
  list.hidden = clear.hidden = !items.length;
  list.replaceChildren(...items.map((item) => {
    const state = item.state === "running" ? t("running", { percent: item.percent || 0 }) : t(item.state);
    const name = item.result
      ? button(item.name, () => { shown = item; drawList(); drawResult(); }, { "aria-label": t("show", { name: item.name }) })
      : el("span", { text: item.name, title: item.name });
    const size = item.result ? t("size", { a: `${item.width}×${item.height}`, b: `${item.result.width}×${item.result.height}` }) : item.width ? `${item.width}×${item.height}` : "";
    return el("li", { "aria-current": item === shown ? "true" : null }, name, el("span", { class: "upscale-muted", text: size }), el("span", { class: item.error ? "upscale-bad" : "upscale-muted", text: state, title: item.error || null }),
      button("×", () => { items.splice(items.indexOf(item), 1); drawList(); }, { "aria-label": t("remove", { name: item.name }), disabled: ["queued", "running", "reading"].includes(item.state) }));
  }));
  const failed = items.filter((item) => item.error);
  if (failed.length) tell(failed.map((item) => `${item.name}: ${item.error}`).join("\n"));
  const ready = waiting().length;
  start.textContent = ready > 1 ? t("start.many", { n: ready }) : t("start");
  stop.hidden = !items.some((item) => ["queued", "running"].includes(item.state));
}

// ---------------------------------------------------------------------------------------------- options

function titleOf(name) { return fields[name][language] || fields[name].en; }
function select(name, choices) {
  const node = el("select", { on: { change: () => { values[name] = node.value; } } },
    ...choices.map((each) => el("option", { value: each, text: each === "None" ? t("none.name") : each, selected: each === values[name] })));
  return el("label", { class: "upscale-field" }, el("span", { text: titleOf(name) }), node);
}
function slider(name) {
  const { low, high, step } = fields[name];
  const set = (value, other) => { values[name] = Math.min(high, Math.max(low, Number(value) || low)); other.value = values[name]; };
  const range = el("input", { type: "range", min: low, max: high, step, value: values[name], "aria-label": titleOf(name) });
  const number = el("input", { type: "number", min: low, max: high, step, value: values[name], "aria-label": titleOf(name) });
  range.addEventListener("input", () => set(range.value, number));
  number.addEventListener("change", () => { set(number.value, range); number.value = values[name]; });
  return el("div", { class: "upscale-field" }, el("span", { text: titleOf(name) }), el("div", { class: "upscale-line" }, range, number));
}
function number(name) {
  const { low, high } = fields[name];
  const node = el("input", { type: "number", min: low, max: high, step: 1, value: values[name] });
  node.addEventListener("change", () => { values[name] = Math.round(Math.min(high, Math.max(low, Number(node.value) || low))); node.value = values[name]; });
  return el("label", { class: "upscale-field" }, el("span", { text: titleOf(name) }), node);
}
function check(name) {
  const node = el("input", { type: "checkbox", checked: values[name] });
  node.addEventListener("change", () => { values[name] = node.checked; });
  return el("label", { class: "upscale-line" }, node, el("span", { text: titleOf(name) }));
}
function options(found) {
  const modes = el("div", { class: "upscale-line", role: "radiogroup", "aria-label": titleOf("mode") }, ...["by", "to"].map((mode) => {
    const node = el("input", { type: "radio", name: "upscale-mode", value: mode, checked: values.mode === mode });
    node.addEventListener("change", () => { values.mode = mode; by.hidden = mode !== "by"; to.hidden = mode !== "to"; });
    return el("label", { class: "upscale-line" }, node, el("span", { text: t(mode) }));
  }));
  const by = slider("scale");
  const to = el("div", { class: "upscale-line", hidden: true }, number("width"), number("height"), check("crop"));
  return [
    el("section", { class: "upscale-card" }, el("h3", { text: t("enlarge") }), modes, by, to, select("upscaler", found), select("upscaler_2", found), slider("blend")),
    el("section", { class: "upscale-card" }, el("h3", { text: t("repair") }), slider("denoise"), slider("sharpen"), select("face", found), slider("face_amount")),
  ];
}

// ---------------------------------------------------------------------------------------------- jobs

const waiting = () => items.filter((item) => item.id && !["queued", "running", "done"].includes(item.state));
const start = button(t("start"), go, { class: "upscale-start" });
const stop = button(t("stop"), async () => {
  for (const item of [...items].reverse()) if (["queued", "running"].includes(item.state)) await post(`./ui/jobs/${item.job}/cancel`, "", "application/json").catch((error) => tell(error.message));
}, { class: "upscale-stop", hidden: true });

async function go() {
  tell("");
  let wanted = waiting();
  if (!wanted.length) {  // all are done: the same once more, with what is set now
    wanted = items.filter((item) => item.state === "done");
    if (!wanted.length) {  // of files that could not be taken the reasons stay
      if (items.some((item) => item.error)) drawList(); else tell(t("none"));
      return;
    }
  }
  for (const item of wanted) delete item.error;
  start.disabled = true;
  try {
    for (let at = 0; at < wanted.length; at += AT_ONCE) {
      const some = wanted.slice(at, at + AT_ONCE);
      const pictures = some.map((item) => ({ image: item.id, name: item.name.slice(0, 200), infotext: item.infotext || "" }));
      const answer = await post("./ui/postprocess", JSON.stringify({ pictures, extras: { upscaler: { enabled: true, ...values } } }), "application/json");
      some.forEach((item, number) => Object.assign(item, { job: answer.jobs[number], state: "queued", result: null, percent: 0 }));
    }
  } catch (error) {
    tell(error.message);
  }
  start.disabled = false;
  drawList();
}

// Called with every look that the page takes at the visitor's jobs.
function follow() {
  if (!root.isConnected) return;
  const { lists, state } = kit();
  let changed = false;
  for (const item of items) {
    if (!["queued", "running"].includes(item.state)) continue;
    const picture = lists().pictures.find((each) => each.job === item.job);
    const past = lists().past.find((each) => each.id === item.job);
    const now = state().job?.id === item.job ? state().job : null;
    const before = item.state + item.percent;
    if (picture) {
      Object.assign(item, { state: "done", result: picture });
      shown = item;
      live.textContent = `${item.name}: ${t("done")}`;
      drawResult();
    } else if (past && past.state !== "done") {
      Object.assign(item, { state: past.state, error: past.state === "failed" ? pick(past.error) : undefined });
    } else if (now?.state === "running") {
      Object.assign(item, { state: "running", percent: Math.round(100 * (now.fraction || 0)) });
    }
    changed = changed || before !== item.state + item.percent;
  }
  if (changed) drawList();
}

// ---------------------------------------------------------------------------------------------- before and after

const result = el("section", { class: "upscale-card", "aria-label": t("result") });
let at = 50;
function drawResult() {
  if (!shown?.result) { result.replaceChildren(el("h3", { text: t("result") }), el("p", { class: "upscale-muted", text: t("empty") })); return; }
  const { result: made } = shown;
  const view = el("div", { class: "upscale-view" },
    el("img", { src: `./files/picture/${made.id}`, alt: t("after") }),
    el("img", { class: "upscale-was", src: `./ui/inputs/${shown.id}`, alt: t("before") }),
    el("span", { class: "upscale-tag upscale-left", text: t("before") }), el("span", { class: "upscale-tag upscale-right", text: t("after") }));
  view.style.aspectRatio = `${made.width} / ${made.height}`;
  // Where the picture was cropped, what it was before fills the same frame.
  view.querySelector(".upscale-was").style.objectFit = "cover";
  const range = el("input", { type: "range", min: 0, max: 100, step: 1, value: at });
  const move = (value) => {
    at = Math.min(100, Math.max(0, value));
    range.value = at;
    range.setAttribute("aria-label", t("compare", { percent: Math.round(at) }));
    view.style.setProperty("--at", `${at}%`);
  };
  range.addEventListener("input", () => move(Number(range.value)));
  const follow = (event) => { const box = view.getBoundingClientRect(); move((100 * (event.clientX - box.left)) / box.width); };
  view.addEventListener("pointerdown", (event) => { view.setPointerCapture(event.pointerId); follow(event); });
  view.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
  move(at);
  result.replaceChildren(el("h3", { text: `${shown.name}: ${shown.width}×${shown.height} → ${made.width}×${made.height}` }), view,
    el("div", { class: "upscale-line" }, range, el("a", { class: "upscale-download", href: `./files/picture/${made.id}?download=1`, download: "", text: t("download") })));
}

// ---------------------------------------------------------------------------------------------- laid out

const side = el("div", { class: "upscale-side" });
async function begin() {
  let answer;
  try { answer = await server.upscaler_choices({}); } catch { tell(t("connection")); side.replaceChildren(drop, said); return; }
  fields = answer.fields;
  for (const [name, field] of Object.entries(fields)) if (name !== "enabled") values[name] = field.value;
  if (!answer.upscalers.includes(values.upscaler)) values.upscaler = "Lanczos";
  side.replaceChildren(
    el("section", { class: "upscale-card" }, drop, list, clear),
    el("div", { class: "upscale-line" }, start, stop), said, live, ...options(answer.upscalers));
  drawList();
}
root.append(side, result);
drawResult();
window.noisette.join({ draw: follow });
// A tab that is not shown asks for nothing.
new IntersectionObserver((seen, observer) => {
  if (!seen.some((each) => each.isIntersecting)) return;
  observer.disconnect();
  begin();
}).observe(root);
