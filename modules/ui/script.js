// The living part of the page: follows the visitor's jobs and draws them. Loaded before Gradio starts.
//
// Gradio keeps the controls. This script keeps everything that changes by itself (canvas, strip, queue, counter) and
// asks the server for it in short polls, so that a reload, a sleeping phone or a restart of the server loses nothing.
// Whatever a user or a file may have written is put in as text, never as HTML.
"use strict";

window.noisette = (() => {
  const { texts } = window.noisetteTexts;
  const store = {
    get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
    set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* private window */ } },
  };

  // ------------------------------------------------------------------------------------------ language, colours

  const asked = store.get("noisette-language");
  const language = texts[asked] ? asked : (navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en";
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  // Gradio chooses its language by the browser's: it gets the one that the visitor chose.
  for (const [name, value] of [["language", language === "zh" ? "zh-CN" : "en"], ["languages", [language === "zh" ? "zh-CN" : "en"]]]) {
    Object.defineProperty(navigator, name, { get: () => value, configurable: true });
  }

  function t(key, values) {
    let text = texts[language]["ui." + key] ?? texts.en["ui." + key] ?? key;
    for (const [name, value] of Object.entries(values || {})) text = text.replaceAll("{" + name + "}", value);
    return text;
  }
  const pick = (words) => (words ? words[language] ?? words.en ?? "" : "");

  const system = matchMedia("(prefers-color-scheme: dark)");
  const themes = ["system", "light", "dark"];
  let theme = themes.includes(store.get("noisette-theme")) ? store.get("noisette-theme") : "system";
  function paint() {
    const dark = theme === "dark" || (theme === "system" && system.matches);
    for (const node of [document.documentElement, document.body]) {
      if (node && node.classList.contains("dark") !== dark) node.classList.toggle("dark", dark);
    }
  }
  paint();
  system.addEventListener("change", paint);
  // Gradio sets the class once more, by the system, when it starts.
  const repaint = new MutationObserver(paint);
  document.addEventListener("DOMContentLoaded", () => {
    paint();
    repaint.observe(document.body, { attributes: true, attributeFilter: ["class"] });
  });

  // ------------------------------------------------------------------------------------------ small tools

  const $ = (id) => document.getElementById(id);

  // The tabs that make pictures, and what an element is called on each (`fields.Tab.id` says the same in Python).
  const MAKERS = ["txt2img", "img2img"];
  const idOf = (tab, name) => (tab === MAKERS[0] ? `nz-${name}` : `nz-${tab}-${name}`);
  let maker = MAKERS[0];  // the one that was looked at last

  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "on") for (const [event, run] of Object.entries(value)) node.addEventListener(event, run);
      else if (name === "text") node.textContent = value;
      else if (name === "value") node.value = value;
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }
  const button = (text, run, attributes) =>
    el("button", { type: "button", class: "nz-button", text, ...attributes, on: { click: run } });

  function seconds(value) {
    const n = Math.max(1, Math.round(value));
    return n < 90 ? t("seconds", { n }) : t("minutes", { m: Math.floor(n / 60), s: n % 60 });
  }

  let spoken = "";
  function say(text) {
    const live = $("nz-live");
    if (!live || text === spoken) return;
    spoken = text;
    live.textContent = text;
  }

  const field = (id) => $(id)?.querySelector("textarea, input");
  function type(id, text) {
    const input = field(id);
    if (!input) return;
    const prototype = input.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(prototype.prototype, "value").set.call(input, text);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  // What somebody types while the draft is still on its way in stays, and not the draft.
  const typed = {};  // by the field's id
  document.addEventListener("input", (event) => {
    if (!event.isTrusted) return;
    for (const tab of MAKERS) {
      for (const name of ["prompt", "negative"]) {
        const id = idOf(tab, name);
        if (!restored.has(tab) && field(id) === event.target) typed[id] = event.target.value;
      }
    }
  }, true);
  function keepTyped(tab) {
    setTimeout(() => {  // Gradio puts the draft in first
      for (const name of ["prompt", "negative"]) {
        const id = idOf(tab, name);
        if (typed[id] !== undefined && field(id)?.value !== typed[id]) type(id, typed[id]);
        delete typed[id];
      }
    }, 60);
  }

  // ------------------------------------------------------------------------------------------ what we know

  let state = { version: -1, running: 0, queued: 0, job: null, lists: null, problem: null };
  let lists = { active: [], past: [], pictures: [] };
  let models = { cards: {}, problems: [] };
  const model = {};      // name in each tab's model control
  let run = null;        // which run of the server answered
  let selected = null;   // a picture that was chosen in the strip; null follows the job
  let sending = 0;       // time of a click on Generate that was not answered yet
  let expected = 0;      // number of the job that the answer named
  let stopping = 0;      // number of the job that was asked to stop
  let skipping = "";     // number and batch of the job that was asked to leave it out
  let notice = null;     // {text, kind}
  let missed = 0;        // polls in a row that failed
  const restored = new Set();  // tabs that have taken back what was typed
  const held = {};       // what each tab's controls hold, by name
  const unable = {};     // what each tab's model has no use for: {fields, elements, modes}
  const neutral = {};    // what each tab's controls hold when they do nothing, by name
  const members = [];    // the other scripts of the page; see `join`

  const busy = () => state.job && (state.job.state === "running" || state.job.state === "queued");

  async function ask(path, options) {
    const response = await fetch("./ui/" + path, { cache: "no-store", ...options, signal: AbortSignal.timeout(8000) });
    if (response.status === 401) location.href = "./login";  // the session is over
    if (!response.ok && response.status !== 404) throw new Error(String(response.status));
    return response.json();
  }

  let timer = 0;
  let polling = false;
  let again = false;
  async function poll() {
    clearTimeout(timer);
    if (polling) { again = true; return; }
    polling = true;
    try {
      const fresh = await ask("state?since=" + (sending ? -1 : state.version));
      if (run && fresh.run !== run) { location.reload(); return; }
      run = fresh.run;
      if (missed >= 2) say(t("connection.back"));
      missed = 0;
      if (fresh.lists !== undefined) {
        const before = state;
        state = fresh;
        if (before.lists !== fresh.lists) lists = await ask("lists");
        noticed(before.job, fresh.job);
      }
    } catch {
      missed += 1;
      if (missed === 2) say(t("connection.lost"));
    }
    polling = false;
    draw();
    const rest = missed ? Math.min(500 * missed, 4000) : document.hidden ? 5000 : busy() || sending ? 300 : 1500;
    timer = setTimeout(poll, again ? 0 : rest);
    again = false;
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
  window.addEventListener("online", () => poll());

  function noticed(before, now) {
    if (!now) return;
    // The new job is there, or waits behind one of ours that runs: then that one is what there is to see.
    if (expected && (now.id >= expected || now.state === "running" || now.state === "queued")) { sending = 0; expected = 0; }
    const same = before && before.id === now.id;
    if (now.state === "queued" && !same) say(t("live.queued"));
    if (now.state === "running") {
      if (!same || before.state !== "running") say(t("live.started"));
      else {
        const quarter = Math.floor((now.fraction || 0) * 4) * 25;
        if (quarter && quarter < 100) say(t("live.progress", { percent: quarter }));
      }
    }
    if (before && same && before.state !== now.state) {
      if (now.state === "done") say(now.saved === 1 ? t("live.done.one") : t("live.done", { n: now.saved }));
      if (now.state === "cancelled") say(t("stopped"));
      if (now.state === "failed") say(t("failed") + ". " + pick(now.error));
    }
    if (stopping && now.id === stopping && now.state !== "running" && now.state !== "queued") stopping = 0;
  }

  // ------------------------------------------------------------------------------------------ drawing

  // Each part is drawn again only when what it shows has changed: focus, selection and scrolling stay.
  const drawn = new Map();
  function part(id, key, make) {
    const node = $(id);
    if (!node) return;
    if (node.dataset.key === key && drawn.get(id) === node) return;
    const active = node.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
    node.dataset.key = key;
    drawn.set(id, node);
    node.replaceChildren(...make(node).flat().filter(Boolean));
    if (active) node.querySelector(`[data-focus="${CSS.escape(active)}"]`)?.focus({ preventScroll: true });
  }

  function draw() {
    words();
    header();
    drawNotice();
    for (const tab of MAKERS) {
      if ($(idOf(tab, "create"))?.checkVisibility()) maker = tab;
      drawCanvas(tab);
      drawStrip(tab);
      drawModel(tab);
      drawUnable(tab);
    }
    drawQueue();
    for (const member of members) member.draw?.();
    document.body?.classList.toggle("nz-busy", Boolean(busy() || sending));
    const job = state.job;
    const title = (job && job.state === "running" ? share(job) + "% · " : "") + "Noisette";
    if (document.title !== title) document.title = title;
  }

  const LABELS = { "swap": "swap", "dice": "seed.random.about", "recycle": "seed.last.about" };
  function words() {
    for (const node of document.querySelectorAll("[data-t]:not([data-done])")) {
      node.textContent = t(node.dataset.t);
      node.dataset.done = "";
    }
    for (const tab of MAKERS) {
      for (const [name, key] of Object.entries(LABELS)) {
        const node = $(idOf(tab, name));
        if (node && !node.title) { node.title = t(key); node.setAttribute("aria-label", t(key)); }
      }
    }
    // Gradio names its empty picture without a role, and a button otherwise than it reads.
    for (const node of document.querySelectorAll(".empty[aria-label]:not([role])")) node.setAttribute("role", "img");
    for (const node of document.querySelectorAll("button[aria-label]:has(.wrap):not([data-named])")) {
      node.dataset.named = "";
      if (node.textContent.trim()) node.removeAttribute("aria-label");
    }
    // Gradio leaves the number beside a slider without a name of its own, and both with the same one.
    for (const block of document.querySelectorAll(".nz-workbench .block")) {
      const label = block.querySelector("[data-testid='block-info']")?.textContent.trim();
      if (!label) continue;
      for (const input of block.querySelectorAll("input[type=number], input[type=range]")) {
        if (input.getAttribute("aria-label") !== label) input.setAttribute("aria-label", label);
      }
    }
  }

  function header() {
    const waiting = state.running + state.queued;
    part("nz-counter", `${waiting}`, (node) => {
      node.onclick = () => openTab("queue");
      node.classList.toggle("nz-on", waiting > 0);
      node.setAttribute("aria-label", `${waiting ? t("queue.count", { n: waiting }) : t("queue.idle") + " (0)"}. ${t("queue.open")}`);
      node.title = t("queue.open");
      return [el("span", { class: "nz-dot", "aria-hidden": "true" }), el("span", { class: "nz-long", text: waiting ? t("queue.count", { n: waiting }) : t("queue.idle") }), el("span", { class: "nz-short", text: String(waiting) })];
    });
    part("nz-language", language, (node) => {
      node.setAttribute("aria-label", t("language.switch.about"));
      node.lang = language === "zh" ? "en" : "zh-CN";
      node.onclick = () => { store.set("noisette-language", language === "zh" ? "en" : "zh"); location.reload(); };
      return [el("span", { text: t("language.switch") })];
    });
    part("nz-theme", theme, (node) => {
      node.setAttribute("aria-label", t("theme." + theme));
      node.title = t("theme." + theme);
      node.onclick = () => {
        theme = themes[(themes.indexOf(theme) + 1) % themes.length];
        store.set("noisette-theme", theme);
        paint();
        draw();
      };
      return [el("span", { class: "nz-icon nz-icon-" + theme, "aria-hidden": "true" })];
    });
    part("nz-connection", String(missed >= 2), () => (missed >= 2 ? [el("span", { class: "nz-lost", text: t("connection.lost") })] : []));
  }

  // `action` is a button beside the text: {text, run}.
  function tell(text, kind, action) {
    notice = text ? { text, kind, action } : null;
    drawNotice();
    if (kind === "good") {
      const mine = notice;
      setTimeout(() => { if (notice === mine) tell(null); }, action ? 12000 : 4000);
    }
  }
  function drawNotice() {
    const shown = notice || (state.problem ? { text: pick(state.problem), kind: "bad", stays: true } : null);
    for (const tab of MAKERS) {
      part(idOf(tab, "notice"), shown ? shown.kind + shown.text : "", (node) => {
        node.className = shown ? "nz-" + shown.kind : "";
        if (!shown) return [];
        return [
          el("span", { text: shown.text }),
          shown.action ? button(shown.action.text, shown.action.run, { "data-focus": "act" }) : null,
          shown.stays ? null : button("×", () => tell(null), { "aria-label": t("dismiss"), title: t("dismiss"), class: "nz-button nz-quiet" }),
        ];
      });
    }
  }

  // What the canvas shows: a chosen picture, the job, or the invitation.
  function view() {
    const job = state.job;
    if (selected) {
      const picture = lists.pictures.find((one) => one.id === selected) || (job?.pictures || []).find((one) => one.id === selected);
      if (picture) return { kind: "picture", picture };
    }
    if (sending) return { kind: "sending" };
    if (job && (job.state === "running" || job.state === "queued")) return { kind: job.state, job };
    if (job && job.state === "failed" && !job.pictures?.length) return { kind: "failed", job };
    // What was made before it failed is there: the pictures show, and beside them the reason.
    if (job && job.pictures?.length > 1) return { kind: "grid", job };
    if (job && job.pictures?.length === 1) return { kind: "picture", picture: job.pictures[0], job };
    if (job && job.state === "cancelled") return { kind: "cancelled", job };
    if (lists.pictures.length) return { kind: "picture", picture: lists.pictures[0] };
    return { kind: "empty" };
  }

  // Why a job that has pictures made no more of them.
  function reasonOf(job) {
    if (job?.state !== "failed") return [];
    return [el("div", { class: "nz-broken" }, el("p", { text: `${t("failed.rest")} ${pick(job.error)}` }), againButton(job))];
  }

  function drawCanvas(tab) {
    if (state.version < 0) return;
    const now = view();
    const id = idOf(tab, "canvas");
    const canvas = $(id);
    if (!canvas) return;
    if (canvas.getAttribute("aria-label") !== t("canvas")) canvas.setAttribute("aria-label", t("canvas"));
    canvas.dataset.kind = now.kind;
    if (now.kind === "running" || now.kind === "queued" || now.kind === "sending") return drawRunning(tab, now);
    const extra = busy() ? "busy" : "";
    if (now.kind === "picture") {
      const notes = now.job ? now.job.warnings.map(pick) : [];
      part(id, ["picture", now.picture.id, extra, notes, now.job?.state].join(), () => [...reasonOf(now.job), pictureOf(now.picture, now.job), extra && backToLive()]);
    } else if (now.kind === "grid") {
      part(id, ["grid", now.job.id, now.job.pictures.length, now.job.state].join(), () => [...reasonOf(now.job), gridOf(now.job)]);
    } else if (now.kind === "failed") {
      part(id, ["failed", now.job.id].join(), () => [
        el("div", { class: "nz-sorry" }, el("h2", { text: t("failed") }), el("p", { text: pick(now.job.error) }), el("p", { class: "nz-muted", text: t("failed.hint") }), againButton(now.job)),
      ]);
    } else if (now.kind === "cancelled") {
      part(id, ["cancelled", now.job.id, model[tab], Object.keys(models.cards).length].join(), () => [invitation(tab, t("stopped.none"))]);
    } else {
      part(id, ["empty", model[tab], Object.keys(models.cards).length].join(), () => [invitation(tab)]);
    }
  }

  function invitation(tab, said) {
    const card = models.cards[model[tab]];
    const box = el("div", { class: "nz-invite" }, el("img", { src: "./ui/icon.svg", alt: "", width: 56, height: 56 }));
    if (restored.has(tab) && !Object.keys(models.cards).length) {
      box.append(el("p", { text: t("model.none") }));
      return box;
    }
    if (tab === "img2img") {
      box.append(el("h2", { text: said || t("img2img.title") }), el("p", { class: "nz-muted", text: t("img2img.about") }));
      return box;
    }
    const examples = card ? card.examples.slice(0, 6) : [];
    box.append(el("h2", { text: said || t("empty.title") }), el("p", { class: "nz-muted", text: examples.length ? t("empty.try") : t("empty.plain") }));
    if (examples.length) {
      box.append(
        el("ul", { class: "nz-chips" }, ...examples.map((example) =>
          el("li", {}, button(example, () => { type(idOf(tab, "prompt"), example); setTimeout(generate, 60); }, { "aria-label": t("example", { prompt: example }), class: "nz-chip" })))),
      );
    }
    return box;
  }

  const backToLive = () => button(t("back.live"), () => { selected = null; draw(); }, { class: "nz-button nz-live-button", "data-focus": "live" });

  // Of the picture to come: before the job is known, what the controls say.
  function shapeOf(tab, job) {
    const [width, height] = ["width", "height"].map((side) => job[side] || Number(field(idOf(tab, side))?.value));
    return width > 0 && height > 0 ? `${width} / ${height}` : "1";
  }

  function drawRunning(tab, now) {
    const job = now.job || {};
    const id = idOf(tab, "canvas");
    part(id, ["running", job.id || "new"].join(), () => [
      el("div", { class: "nz-running" },
        el("div", { class: "nz-frame", style: `aspect-ratio: ${shapeOf(tab, job)}` }, el("div", { class: "nz-shimmer", "aria-hidden": "true" }), el("img", { class: "nz-preview", alt: t("preview.alt"), hidden: true })),
        el("div", { class: "nz-beneath" }, ghost(tab, job), el("div", { class: "nz-progress" },
          el("div", { class: "nz-line" }, el("span", { class: "nz-stage" }), el("span", { class: "nz-eta" })),
          el("div", { class: "nz-bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": t("canvas") }, el("div", { class: "nz-fill" })),
          button(t("skip.batch"), skip, { class: "nz-button nz-skip-batch", title: t("skip.batch.hint"), hidden: true })))),
    ]);
    const canvas = $(id);
    const done = now.kind === "running" ? share(job) : 0;
    const bar = canvas.querySelector(".nz-bar");
    bar.setAttribute("aria-valuenow", done);
    bar.classList.toggle("nz-unsure", now.kind !== "running" || !job.stage || job.stage === "loading");
    canvas.querySelector(".nz-fill").style.width = done + "%";
    let stage, eta = "";
    if (stopping && stopping === job.id) stage = t("stopping");
    else if (now.kind === "sending") stage = t("sending");
    else if (now.kind === "queued") {
      const n = job.position || 0;
      stage = n > 1 ? t("waiting.n", { n }) : n === 1 ? t("waiting") : t("waiting.next");
    } else {
      const pieces = [];
      if (job.batches > 1) pieces.push(t("batch", { batch: job.batch + 1, batches: job.batches }));
      pieces.push(job.stage === "denoising" && job.step ? t("step", { step: job.step, steps: job.steps }) : t("stage." + (job.stage || "starting")));
      stage = pieces.join(" · ");
      if (job.eta !== null && job.eta !== undefined) eta = t("eta", { time: seconds(job.eta) });
    }
    const skips = canvas.querySelector(".nz-skip-batch");
    skips.hidden = now.kind !== "running" || !(job.batches > 1);
    skips.disabled = Boolean(stopping) || skipping === batchOf(job);
    set(canvas.querySelector(".nz-stage"), stage);
    set(canvas.querySelector(".nz-eta"), eta);
    const preview = canvas.querySelector(".nz-preview");
    if (job.preview !== null && job.preview !== undefined) {
      const source = `./files/preview/${job.id}?n=${job.preview}`;
      if (preview.dataset.source !== source) {
        preview.dataset.source = source;
        // The last preview stays until the next one is there, or the picture would flicker.
        const next = new Image();
        next.onload = () => { if (preview.dataset.source === source) { preview.src = next.src; preview.hidden = false; } };
        next.src = source;
      }
    }
  }
  function set(node, text) { if (node.textContent !== text) node.textContent = text; }

  const shot = (picture, attributes) =>
    el("img", { src: `./files/picture/${picture.id}`, alt: t("picture.alt", { prompt: picture.prompt || "" }), width: picture.width, height: picture.height, ...attributes });

  function pictureOf(picture, job) {
    const enlarge = button("", () => openLightbox(picture), { class: "nz-show", "aria-label": t("enlarge"), "data-focus": "enlarge" });
    enlarge.append(shot(picture));
    const notes = job && job.warnings && job.warnings.length ? el("ul", { class: "nz-notes", "aria-label": t("warnings") }, ...job.warnings.map((words) => el("li", { text: pick(words) }))) : null;
    const stopped = job && job.state === "cancelled" ? el("p", { class: "nz-muted", text: t("stopped") }) : null;
    return el("div", { class: "nz-result" }, enlarge, stopped, notes, ...beneath(picture));
  }

  // What stands under a finished picture.
  function beneath(picture) {
    const said = el("span", { class: "nz-said", role: "status" });
    const details = el("details", { class: "nz-details", "data-receipts": picture.id || null }, el("summary", { text: t("details"), "data-focus": "details" }), el("pre", { tabindex: "0", text: picture.infotext }));
    return [
      el("div", { class: "nz-under" },
        el("span", { class: "nz-muted nz-facts", text: t("size.seed", picture) }),
        el("div", { class: "nz-actions" },
          el("a", { class: "nz-button", href: `./files/picture/${picture.id}?download=1`, download: "", text: t("download"), "data-focus": "download" }),
          button(t("copy"), () => copy(picture.infotext, said), { "data-focus": "copy" }),
          button(t("reuse.seed"), () => recall(picture, "seed"), { "data-focus": "seed" }),
          button(t("reuse.all"), () => recall(picture, "all"), { "data-focus": "all" }),
          sendMenu(picture),
          said)),
      details,
    ];
  }
  // The same, unseen, under the frame of a job: so the picture does not jump when it is done.
  function ghost(tab, job) {
    const [width, height] = ["width", "height"].map((side) => job[side] || field(idOf(tab, side))?.value || 0);
    const node = el("div", { class: "nz-ghost", "aria-hidden": "true" }, ...beneath({ id: 0, infotext: "", width, height, seed: 1_000_000_000 }));
    node.inert = true;
    return node;
  }

  function gridOf(job) {
    const n = job.pictures.length;
    const columns = n < 4 ? n : n < 5 ? 2 : n < 7 ? 3 : Math.ceil(Math.sqrt(n * 1.6));
    const grid = el("div", { class: "nz-grid" }, ...job.pictures.map((picture) => {
      const open = button("", () => { selected = picture.id; draw(); }, { class: "nz-show", "aria-label": t("strip.open", picture), "data-focus": "g" + picture.id });
      open.append(shot(picture, { loading: "lazy" }));
      return open;
    }));
    grid.style.setProperty("--columns", columns);
    grid.style.setProperty("--rows", Math.ceil(n / columns));
    return grid;
  }

  async function copy(text, said) {
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = t("copied");
    } catch {
      // Without https the clipboard is shut, except to a selection.
      const area = el("textarea", { class: "nz-unseen", text });
      document.body.append(area);
      area.select();
      said.textContent = document.execCommand("copy") ? t("copied") : t("copy.failed");
      area.remove();
    }
    setTimeout(() => { said.textContent = ""; }, 2500);
  }

  function drawStrip(tab) {
    const pictures = lists.pictures;
    const current = view();
    const chosen = current.kind === "picture" ? current.picture.id : 0;
    part(idOf(tab, "strip"), pictures.map((one) => one.id).join() + "/" + chosen, (node) => {
      node.setAttribute("aria-label", t("strip"));
      node.hidden = pictures.length === 0;
      const row = el("ul", { class: "nz-thumbs" }, ...pictures.map((picture) => {
        const open = button("", () => { selected = picture.id; draw(); }, {
          class: "nz-thumb", "aria-label": t("strip.open", picture), "aria-current": picture.id === chosen ? "true" : null, title: picture.prompt, "data-focus": "t" + picture.id,
        });
        open.append(el("img", { src: `./files/thumb/${picture.id}`, alt: "", width: 64, height: 64, loading: "lazy" }));
        return el("li", {}, open);
      }));
      const before = node.querySelector(".nz-thumbs")?.scrollLeft || 0;
      setTimeout(() => { row.scrollLeft = before; });
      return [row];
    });
  }

  function drawModel(tab) {
    const card = models.cards[model[tab]];
    const without = Boolean(unable[tab]?.elements.length);
    part(idOf(tab, "model-info"), [model[tab], Boolean(card), models.problems.length, without].join(), () => {
      const rows = models.problems.map((one) => el("p", { class: "nz-bad-text", text: t("model.problem", { path: one.path, reason: pick(one.reason) }) }));
      if (card) {
        const about = [pick(card.description), card.licence && t("model.licence", { licence: card.licence })].filter(Boolean).join(" ");
        const text = el("p", { class: "nz-muted", text: about });
        rows.unshift(text);
        if (about.length > 110) {
          text.classList.add("nz-clamp");
          const more = button(t("more"), () => {
            const open = text.classList.toggle("nz-clamp") === false;
            more.textContent = open ? t("less") : t("more");
            more.setAttribute("aria-expanded", String(open));
          }, { class: "nz-button nz-link", "aria-expanded": "false", "data-focus": "more" });
          rows.splice(1, 0, more);
        }
      }
      if (without) rows.push(el("p", { class: "nz-muted", text: t("unable") }));
      return rows;
    });
  }

  // What the model has no use for is grey and cannot be reached; `collect` sends it as if it were never touched.
  function drawUnable(tab) {
    const create = $(idOf(tab, "create"));
    if (!create) return;
    const now = unable[tab] || { elements: [], modes: [] };
    const grey = new Set(now.elements.map((id) => $(id)));
    for (const name of now.modes) grey.add($(idOf(tab, "mode"))?.querySelector(`input[value="${CSS.escape(name)}"]`)?.closest("label"));
    for (const node of create.querySelectorAll(".nz-unable")) {
      if (!grey.has(node)) { node.classList.remove("nz-unable"); node.inert = false; }
    }
    for (const node of grey) {
      if (node && !node.classList.contains("nz-unable")) { node.classList.add("nz-unable"); node.inert = true; }
    }
  }

  // ------------------------------------------------------------------------------------------ queue

  function drawQueue() {
    if (!$("nz-jobs")) return;
    // Progress of the running job comes with the state, more often than the lists.
    const active = lists.active.map((job) => (state.job && state.job.id === job.id ? { ...job, ...state.job } : job));
    const key = JSON.stringify([active.map((job) => [job.id, job.state, job.saved]), lists.past.map((job) => [job.id, job.state, job.saved]), stopping]);
    part("nz-jobs", key, () => {
      if (!active.length && !lists.past.length) return [el("p", { class: "nz-nothing", text: t("queue.empty") })];
      return [
        active.length ? el("h3", { text: t("queue.active") }) : null,
        active.length ? el("ul", { class: "nz-rows" }, ...active.map(rowOf)) : null,
        lists.past.length ? el("h3", { text: t("queue.past") }) : null,
        lists.past.length ? el("ul", { class: "nz-rows" }, ...lists.past.map(rowOf)) : null,
      ];
    });
    // In place: a row that is made anew under the pointer would swallow the click on its button.
    for (const job of active) {
      const fill = document.querySelector(`#nz-jobs [data-job="${job.id}"] .nz-fill`);
      if (fill) fill.style.width = share(job) + "%";
    }
  }
  const share = (job) => Math.round((job.fraction || 0) * 100);

  function rowOf(job) {
    const over = job.state !== "running" && job.state !== "queued";
    const row = el("li", { class: "nz-row", "data-state": job.state, "data-job": job.id });
    row.append(
      job.first ? el("img", { src: `./files/thumb/${job.first}`, alt: "", width: 48, height: 48, loading: "lazy" }) : el("span", { class: "nz-blank", "aria-hidden": "true" }),
      el("div", { class: "nz-what" },
        el("strong", { text: job.mine ? job.prompt || t("queue.noprompt") : t("queue.other") }),
        el("span", { class: "nz-muted", text: [t("queue.job", { id: job.id }), t("queue.pictures", { done: job.saved, total: job.total })].join(" · ") }),
        job.error ? el("span", { class: "nz-bad-text", text: pick(job.error) }) : null,
        job.state === "running" ? el("div", { class: "nz-bar" }, el("div", { class: "nz-fill" })) : null),
      el("span", { class: "nz-state", text: stopping === job.id ? t("stopping") : t("state." + job.state) }),
    );
    if (job.mine && (job.state === "failed" || job.state === "cancelled")) row.append(againButton(job));
    if (job.mine && !over) row.append(button(t("queue.cancel.short"), () => cancel(job.id), { "aria-label": t("queue.cancel", { id: job.id }), "data-focus": "c" + job.id }));
    else if (job.mine && job.first) row.append(button(t("queue.show"), () => { selected = job.first; openTab("txt2img"); draw(); }, { "aria-label": t("queue.show.long", { id: job.id }), "data-focus": "s" + job.id }));
    return row;
  }

  const againButton = (job) => button(t("queue.retry.short"), () => retry(job.id), { "aria-label": t("queue.retry", { id: job.id }), "data-focus": "r" + job.id });

  // ------------------------------------------------------------------------------------------ doing things

  function generate() { $(idOf(maker, "generate"))?.click(); }

  // A click on Generate is seen here before Gradio sends it, so that the page answers at once.
  document.addEventListener("click", (event) => {
    const tab = MAKERS.find((one) => event.target.closest?.("#" + idOf(one, "generate")));
    if (!tab) return;
    maker = tab;
    sending = Date.now();
    selected = null;
    tell(null);
    draw();
    const mine = sending;
    setTimeout(() => { if (sending === mine && !expected) submitFailed(); }, 15000);
  }, true);

  function submitFailed() {
    if (!sending) return;
    sending = 0;
    expected = 0;
    tell(t("error.connection"), "bad");
    draw();
  }

  async function cancel(id) {
    stopping = id;
    draw();
    try {
      const answer = await ask(`jobs/${id}/cancel`, { method: "POST" });
      if (answer.error) { stopping = 0; tell(pick(answer.error), "bad"); }
      else if (answer.state !== "running") stopping = 0;
    } catch {
      stopping = 0;
      tell(t("error.connection"), "bad");
    }
    poll();
  }
  async function retry(id) {
    try {
      const answer = await ask(`jobs/${id}/retry`, { method: "POST" });
      if (answer.error) tell(pick(answer.error), "bad");
      else { selected = null; say(t("live.queued")); }
    } catch {
      tell(t("error.connection"), "bad");
    }
    poll();
  }
  const batchOf = (job) => `${job.id}-${job.batch}`;
  async function skip() {
    if (!busy() || skipping === batchOf(state.job)) return;
    skipping = batchOf(state.job);
    draw();
    try {
      const answer = await ask(`jobs/${state.job.id}/cancel?batch=true`, { method: "POST" });
      if (answer.error) { skipping = ""; tell(pick(answer.error), "bad"); }
    } catch {
      skipping = "";
      tell(t("error.connection"), "bad");
    }
    poll();
  }
  function stop() { if (busy() && stopping !== state.job.id) cancel(state.job.id); }

  // Before the event of Generate leaves: what other scripts hold (strokes, masks) becomes numbers of pictures.
  let refused = false;
  async function collect(tab, names, values) {
    refused = false;
    const given = Object.fromEntries(names.map((name, index) => [name, values[index]]));
    try {
      for (const member of members) await member.collect?.(tab, given);
    } catch (problem) {
      refused = true;  // the answer to what is sent now says less than this
      tell(problem.message, "bad");
      given["img2img__image"] = "";
    }
    for (const name of unable[tab]?.fields || []) if (name in (neutral[tab] || {})) given[name] = neutral[tab][name];
    if (sending) sending = Date.now();
    return names.map((name) => given[name]);
  }

  // ------------------------------------------------------------------------------------------ settings, and to and fro

  const wires = {};
  const QUIET = ["words", "mode", "fit"];  // the page shows by itself what these did
  function fill(tab, data) {
    const before = { ...held[tab] };
    if (!data.undoes && !QUIET.includes(data.what)) lastFilled = { tab, values: before };
    wires[tab]?.(data);
  }
  let lastFilled = null;
  const undoFill = () => {
    const { tab, values } = lastFilled;
    tell(null);
    fill(tab, { what: "values", values, undoes: true });
  };

  function recall(picture, what) {
    const tab = what === "all" && picture.source ? "img2img" : maker;
    if (tab !== maker) openTab(tab);
    fill(tab, { picture: picture.id, what });
  }

  // "Send to": a menu that a keyboard opens too.
  function sendMenu(picture) {
    const places = [["img2img", "img2img"], ["img2img", "inpaint"], ["img2img", "outpaint"], ["img2img", "sketch"], ["img2img", "inpaint_sketch"]];
    const menu = el("details", { class: "nz-menu" }, el("summary", { class: "nz-button", text: t("send"), "data-focus": "send" }));
    menu.append(el("div", { class: "nz-menu-list" }, ...places.map(([tab, mode]) =>
      button(t("mode." + mode), () => { menu.open = false; sendTo(picture, tab, mode); }))));
    return menu;
  }
  async function sendTo(picture, tab, mode) {
    try {
      const given = await ask(`inputs/from/${picture.id}`, { method: "POST" });
      if (given.error) { tell(pick(given.error), "bad"); return; }
      openTab(tab);
      window.noisette.hand(tab, given, mode);
      wires[tab]?.({ what: "words", picture: picture.id });
    } catch {
      tell(t("error.connection"), "bad");
    }
  }

  function answer(told) {
    if (!told || !told.kind) return;
    const tab = told.tab || maker;
    if (told.kind === "submitted") {
      expected = told.job;
      if (told.count) {
        const text = t(told.count === 1 ? "batch.queued.one" : "batch.queued", { n: told.count });
        const left = told.skipped.map((one) => `${one.name}: ${pick(one.why)}`).join(" ");
        tell(told.left ? `${text} ${t("batch.skipped", { n: told.left })} ${left}` : text, told.left ? "bad" : "good");
      }
      poll();
    }
    if (told.kind === "error") {
      sending = 0;
      expected = 0;
      if (!refused) tell(pick(told.text), "bad");
      refused = false;
      draw();
    }
    if (told.kind === "recalled" && !QUIET.includes(told.what)) {
      const text = told.what === "values" ? t("reused.undone") : t("reused." + told.what);
      const unused = told.unused.length ? " " + t("reused.unused", { names: told.unused.slice(0, 6).join(", ") }) : "";
      tell(text + unused, "good", told.what === "values" ? null : { text: t("undo"), run: undoFill });
    }
    if (told.model && ["recalled", "restored"].includes(told.kind)) model[tab] = told.model;
    if (told.kind === "model") model[tab] = told.name;
    if (told.kind === "restored") { restored.add(tab); neutral[tab] = told.neutral; keepTyped(tab); }
    if (told.unable) unable[tab] = told.unable;
    for (const member of members) member.answered?.(tab, told);
    if (model[tab] && !models.cards[model[tab]]) loadModels();
    draw();
  }
  async function loadModels() {
    try { models = await ask("models"); draw(); } catch { setTimeout(loadModels, 2000); }
  }

  function openTab(name) {
    // Gradio keeps the tabs that find no room in a menu, with the same names.
    const tab = [...document.querySelectorAll("#nz-tabs [role=tab], #nz-tabs .overflow-dropdown button")];
    tab.find((node) => node.textContent.trim() === t("tab." + name))?.click();
    setTimeout(draw, 60);
  }

  // ------------------------------------------------------------------------------------------ enlarged

  function openLightbox(picture) {
    const dialog = $("nz-lightbox");
    if (!dialog) return;
    const all = lists.pictures;
    const show = (one) => {
      const at = all.findIndex((other) => other.id === one.id);
      const step = (by) => { const next = all[at + by]; if (next) { selected = next.id; show(next); draw(); } };
      dialog.setAttribute("aria-label", t("picture.alt", { prompt: one.prompt || "" }));
      dialog.onkeydown = (event) => {
        if (event.key === "ArrowLeft") step(-1);
        if (event.key === "ArrowRight") step(1);
      };
      dialog.replaceChildren(
        shot(one),
        button("×", () => dialog.close(), { class: "nz-button nz-close", "aria-label": t("close"), autofocus: true }),
        ...(at > 0 ? [button("‹", () => step(-1), { class: "nz-button nz-before", "aria-label": t("previous") })] : []),
        ...(at >= 0 && at < all.length - 1 ? [button("›", () => step(1), { class: "nz-button nz-after", "aria-label": t("next") })] : []),
      );
    };
    show(picture);
    dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
    dialog.showModal();
  }

  // ------------------------------------------------------------------------------------------ keyboard

  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;  // Enter and Esc belong to the input method
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      event.stopPropagation();
      if ($(idOf(maker, "generate"))) generate();
    } else if (event.key === "Enter" && event.altKey && state.job?.batches > 1) {
      event.preventDefault();
      skip();
    }
    if (event.key === "Escape") {
      // An open list closes; that must not cost the picture.
      const target = event.target;
      const inList = target.closest?.("[role=listbox], [role=combobox]") || target.getAttribute?.("aria-expanded") === "true" || document.querySelector("ul.options");
      if (inList || event.defaultPrevented) return;
      stop();
    }
  }, true);

  // ------------------------------------------------------------------------------------------ from Gradio

  function draft(tab, names, values) {
    const kept = values.pop();
    const now = Object.fromEntries(names.map((name, index) => [name, values[index]]));
    held[tab] = now;
    for (const member of members) member.drafted?.(tab, now);
    return restored.has(tab) ? now : kept;  // what was typed before a reload may still be on its way in
  }

  function aspectOf(width, height, aspects) {
    if (!width || !height) return null;
    const ratio = width / height;
    let best = null;
    for (const [name, value] of Object.entries(aspects)) {
      const off = Math.abs(value / ratio - 1);
      if (off < 0.07 && (best === null || off < best.off)) best = { name, off };
    }
    return best ? best.name : null;
  }

  // Gradio puts the page in by and by; until it stands, look often.
  let looks = 0;
  const settle = setInterval(() => {
    looks += 1;
    draw();
    if (looks > 100 || ($("nz-canvas") && restored.size === MAKERS.length)) clearInterval(settle);
  }, 100);
  document.addEventListener("DOMContentLoaded", () => { loadModels(); poll(); });
  document.addEventListener("click", () => setTimeout(draw, 50));  // a tab that opens brings empty places

  return {
    answer, draft, aspectOf, stop, submitFailed, collect,
    attach: (tab, trigger) => { wires[tab] = trigger; },
    // For the page's other scripts. `join` takes {draw, drafted, answered, collect, take}, each optional.
    kit: { $, MAKERS, idOf, el, button, t, pick, ask, tell, say, type, field, part, store, openTab, fill, held, sendTo, copy, current: () => maker, models: () => models, lists: () => lists, state: () => state, modelOf: (tab) => model[tab], chosen: () => selected, show: (picture) => { selected = picture; draw(); } },
    join: (member) => { members.push(member); },
    // A picture of the inputs folder for another tab to begin with.
    hand: (tab, given, mode) => { for (const member of members) member.take?.(tab, given, mode); },
  };
})();
