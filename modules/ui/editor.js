// The picture that img2img begins with: taken in, painted on, masked, widened; and the many of a batch.
//
// What is painted is kept as strokes over the picture (undo is leaving the last one out, a reload paints them again).
// Only when Generate is pressed they become a picture: for Sketch the painted picture, for Inpaint a mask whose white
// is the layer's alpha, for Inpaint sketch both. Pictures go to the server's inputs folder and are named by their number from then on.
"use strict";

(() => {
  const { $, idOf, el, button, t, pick, tell, type, field, store, fill, held } = window.noisette.kit;
  const TAB = "img2img";
  const STROKES = "noisette-strokes";
  const MOST_KEPT = 1_500_000;  // characters; a browser gives a page about five million
  const COLOURS = ["#2a2018", "#ffffff", "#c0392b", "#e67e22", "#f1c40f", "#27ae60", "#2980b9", "#8e44ad"];
  const MASK = "#e8a860";

  let picture = null;   // {id, width, height}
  let image = null;     // its <img>, loaded
  let mode = "img2img";
  let wanted = "";      // number of the picture that is on its way in
  let busy = 0;         // uploads under way
  let layer = null;     // the canvas that is painted on
  let zoom = 0;         // 0 fits the pane; else CSS pixels per pixel
  let outside = {};     // what Outpaint adds, in pixels of the picture
  const brush = { size: 0, colour: COLOURS[2], erase: false };
  const PAINTED = ["sketch", "inpaint", "inpaint_sketch"];
  const none = () => Object.fromEntries(PAINTED.map((name) => [name, []]));
  let kept = none();
  let undone = none();
  const masks = new Map();  // mask pictures from files, by number

  const paints = () => PAINTED.includes(mode);
  const coloured = () => mode === "sketch" || mode === "inpaint_sketch";
  const masking = () => mode === "inpaint" || mode === "inpaint_sketch";
  const strokes = () => kept[mode] || [];

  // ------------------------------------------------------------------------------------------ to the server

  async function put(blob, name = "") {
    busy += 1;
    draw();
    try {
      const response = await fetch(`./ui/inputs?name=${encodeURIComponent(name)}`, { method: "POST", body: blob, headers: { "Content-Type": "application/octet-stream" }, signal: AbortSignal.timeout(120_000) });
      const given = await response.json().catch(() => null);
      if (!given) throw new Error(t(response.status === 413 ? "editor.too_large" : "error.connection"));
      if (given.error) throw new Error(pick(given.error));
      return given;
    } catch (problem) {
      throw problem.name === "TypeError" || problem.name === "TimeoutError" ? new Error(t("error.connection")) : problem;
    } finally {
      busy -= 1;
      draw();
    }
  }

  async function accept(files) {
    const all = [...files].filter((file) => file.size);
    if (!all.length) return;
    if (mode === "batch") { addToBatch("images", all); return; }
    try {
      const given = await put(all[0], all[0].name);
      show(given, { fits: true });
    } catch (problem) {
      tell(problem.message, "bad");
    }
  }

  // ------------------------------------------------------------------------------------------ the picture

  function show(given, { fits = false, mask = "" } = {}) {
    if (wanted === given.id && image && !mask) return;
    wanted = given.id;
    const next = new Image();
    next.onload = () => {
      if (wanted !== given.id) return;
      const same = picture && picture.id === given.id;
      picture = { id: given.id, width: next.naturalWidth, height: next.naturalHeight };
      image = next;
      image.alt = t("editor.alt");
      if (!same) { kept = none(); undone = none(); recallStrokes(); zoom = 0; }
      if (mask) { kept.inpaint = [{ kind: "mask", id: mask }]; }
      brush.size = brush.size || Math.max(4, Math.round(Math.min(picture.width, picture.height) / 12));
      write("image", picture.id);
      if (fits) fill(TAB, { what: "fit", width: picture.width, height: picture.height });
      layer = null;
      grow(held[TAB] || {});
      draw(true);
    };
    next.onerror = () => {
      if (wanted !== given.id) return;
      wanted = "";
      remove();
      tell(t("editor.gone"), "bad");
    };
    next.src = `./ui/inputs/${given.id}`;
  }
  function remove() {
    picture = image = layer = null;
    wanted = "";
    write("image", "");
    draw(true);
  }
  function write(name, value) {
    if (field(idOf(TAB, name)) && field(idOf(TAB, name)).value !== value) type(idOf(TAB, name), value);
  }

  async function blank() {
    const sheet = document.createElement("canvas");
    sheet.width = Number(field(idOf(TAB, "width"))?.value) || 512;
    sheet.height = Number(field(idOf(TAB, "height"))?.value) || 512;
    const pen = sheet.getContext("2d");
    pen.fillStyle = "#ffffff";
    pen.fillRect(0, 0, sheet.width, sheet.height);
    try { show(await put(await blobOf(sheet))); } catch (problem) { tell(problem.message, "bad"); }
  }
  const blobOf = (canvas) => new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error(t("editor.export")))), "image/png"));

  // ------------------------------------------------------------------------------------------ strokes

  function paintStroke(pen, stroke) {
    pen.save();
    pen.globalCompositeOperation = stroke.kind === "erase" ? "destination-out" : "source-over";
    pen.strokeStyle = pen.fillStyle = stroke.colour || MASK;
    pen.lineCap = pen.lineJoin = "round";
    pen.lineWidth = stroke.size;
    const { width, height } = pen.canvas;
    if (stroke.kind === "fill") pen.fillRect(0, 0, width, height);
    else if (stroke.kind === "mask") { const found = masks.get(stroke.id); if (found) pen.drawImage(found, 0, 0, width, height); }
    else {
      const [x, y, ...rest] = stroke.points;
      if (rest.length === 0) { pen.beginPath(); pen.arc(x, y, stroke.size / 2, 0, 7); pen.fill(); }
      else {
        pen.beginPath();
        pen.moveTo(x, y);
        for (let at = 0; at < rest.length; at += 2) pen.lineTo(rest[at], rest[at + 1]);
        pen.stroke();
      }
    }
    pen.restore();
  }
  // The colour of a mask picture says nothing, its brightness does: it becomes the alpha of our layer.
  async function loadMask(id) {
    if (masks.has(id)) return;
    const source = new Image();
    source.src = `./ui/inputs/${id}`;
    await source.decode();
    const canvas = document.createElement("canvas");
    canvas.width = source.naturalWidth;
    canvas.height = source.naturalHeight;
    const pen = canvas.getContext("2d");
    pen.drawImage(source, 0, 0);
    const data = pen.getImageData(0, 0, canvas.width, canvas.height);
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(MASK.slice(at, at + 2), 16));
    for (let at = 0; at < data.data.length; at += 4) {
      const bright = 0.299 * data.data[at] + 0.587 * data.data[at + 1] + 0.114 * data.data[at + 2];
      const alpha = (bright * data.data[at + 3]) / 255;
      data.data[at] = r; data.data[at + 1] = g; data.data[at + 2] = b; data.data[at + 3] = alpha;
    }
    pen.putImageData(data, 0, 0);
    masks.set(id, canvas);
  }
  async function repaint() {
    if (!layer) return;
    const mine = layer;
    for (const stroke of strokes()) {
      if (stroke.kind === "mask") { try { await loadMask(stroke.id); } catch { tell(t("editor.gone"), "bad"); } }
    }
    if (mine !== layer) return;
    const pen = layer.getContext("2d");
    pen.clearRect(0, 0, layer.width, layer.height);
    for (const stroke of strokes()) paintStroke(pen, stroke);
  }
  function add(stroke) {
    strokes().push(stroke);
    undone[mode] = [];
    keepStrokes();
    draw();
  }
  function undo() { const last = strokes().pop(); if (last) { undone[mode].push(last); keepStrokes(); repaint(); draw(); } }
  function redo() { const last = (undone[mode] || []).pop(); if (last) { strokes().push(last); keepStrokes(); repaint(); draw(); } }
  function clear() { if (strokes().length) { undone[mode] = [...strokes()].reverse(); kept[mode] = []; keepStrokes(); repaint(); draw(); } }

  let keeping = 0;
  function keepStrokes() {
    clearTimeout(keeping);
    keeping = setTimeout(() => {
      const text = JSON.stringify({ image: picture?.id, ...kept });
      if (text.length < MOST_KEPT) store.set(STROKES, text);
    }, 250);
  }
  function recallStrokes() {
    try {
      const found = JSON.parse(store.get(STROKES) || "{}");
      if (found.image !== picture.id) return;
      for (const name of PAINTED) kept[name] = (found[name] || []).filter((one) => ["draw", "erase", "fill", "mask"].includes(one.kind));
    } catch { /* written by another version */ }
  }

  async function maskFromFile(file) {
    try {
      const given = await put(file, file.name);
      add({ kind: "mask", id: given.id });
      repaint();
    } catch (problem) {
      tell(problem.message, "bad");
    }
  }

  // ------------------------------------------------------------------------------------------ painting

  function place(event) {
    const box = layer.getBoundingClientRect();
    return [Math.round(((event.clientX - box.left) / box.width) * layer.width), Math.round(((event.clientY - box.top) / box.height) * layer.height)];
  }
  function paintable(canvas) {
    let stroke = null;
    const fingers = new Map();
    let pinch = null;
    canvas.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, event);
      if (fingers.size === 2) {
        // The second finger means zooming: what the first one has begun is taken back.
        stroke = null;
        repaint();
        const [a, b] = [...fingers.values()];
        pinch = { far: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY), zoom: scale() };
        return;
      }
      if (event.button !== 0 || fingers.size > 1) return;
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      stroke = { kind: brush.erase ? "erase" : "draw", size: brush.size, points: place(event) };
      if (coloured() && !brush.erase) stroke.colour = brush.colour;
      paintStroke(canvas.getContext("2d"), stroke);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (fingers.has(event.pointerId)) fingers.set(event.pointerId, event);
      if (pinch && fingers.size === 2) {
        const [a, b] = [...fingers.values()];
        setZoom((pinch.zoom * Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY)) / Math.max(1, pinch.far));
        return;
      }
      if (!stroke) return;
      const pen = canvas.getContext("2d");
      for (const one of event.getCoalescedEvents?.() || [event]) {
        const to = place(one);
        const from = stroke.points.slice(-2);
        if (to[0] === from[0] && to[1] === from[1]) continue;
        paintStroke(pen, { ...stroke, points: [...from, ...to] });
        stroke.points.push(...to);
      }
    });
    const end = (event) => {
      fingers.delete(event.pointerId);
      if (fingers.size < 2) pinch = null;
      if (!stroke) return;
      add(stroke);
      stroke = null;
    };
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, end);
  }

  const scale = () => zoom || fitting();
  function fitting() {
    const pane = document.querySelector(".nz-sheet-pane");
    if (!pane || !picture) return 1;
    const [wide, high] = sheetSize();
    return Math.min((pane.clientWidth - 2) / wide, Math.max(200, pane.clientHeight - 2) / high, 8);
  }
  function setZoom(value) {
    zoom = Math.min(16, Math.max(0.05, value));
    lay();
  }
  function sheetSize() {
    const add = mode === "outpaint" ? outside : {};
    return [picture.width + (add.left || 0) + (add.right || 0), picture.height + (add.up || 0) + (add.down || 0)];
  }
  // Sizes in the document, from the picture's and the zoom.
  function lay() {
    const sheet = document.querySelector(".nz-sheet");
    if (!sheet || !picture) return;
    const by = scale();
    const [wide, high] = sheetSize();
    const add = mode === "outpaint" ? outside : {};
    Object.assign(sheet.style, { width: `${wide * by}px`, height: `${high * by}px` });
    for (const node of sheet.children) {
      Object.assign(node.style, { left: `${(add.left || 0) * by}px`, top: `${(add.up || 0) * by}px`, width: `${picture.width * by}px`, height: `${picture.height * by}px` });
    }
    const shown = document.querySelector(".nz-zoom-now");
    if (shown) shown.textContent = `${Math.round(by * 100)} %`;
  }
  window.addEventListener("resize", () => { if (!zoom) lay(); });

  // ------------------------------------------------------------------------------------------ drawing the editor

  let drawn = "";
  function draw(anew) {
    const node = $(idOf(TAB, "editor"));
    if (!node) return;
    const create = $(idOf(TAB, "create"));
    if (create && create.dataset.mode !== mode) create.dataset.mode = mode;
    drawWay();
    if (!node.getAttribute("aria-label")) node.setAttribute("aria-label", t("editor"));
    const key = [picture?.id, mode, mode === "batch" ? batchKey() : "", Boolean(busy)].join();
    if (anew || key !== drawn || !node.firstChild) {
      drawn = key;
      layer = null;
      node.replaceChildren(...(mode === "batch" ? batchView() : image ? pictureView() : [dropZone(t(mode === "sketch" ? "editor.drop.sketch" : "editor.drop"), accept, mode === "sketch")]));
      repaint();
    }
    if (picture && mode !== "batch") { lay(); tools(node); }
  }
  function dropZone(text, run, sheet) {
    const input = el("input", { type: "file", accept: "image/png,image/jpeg,image/webp", multiple: mode === "batch", class: "nz-unseen", tabindex: "-1", "aria-hidden": "true" });
    input.addEventListener("change", () => { run(input.files); input.value = ""; });
    return el("div", { class: "nz-drop" },
      el("p", { text: busy ? t("editor.uploading") : text }),
      el("div", { class: "nz-drop-buttons" },
        button(t("editor.choose"), () => input.click(), { "data-focus": "choose" }),
        sheet ? button(t("editor.blank"), blank) : null),
      input);
  }
  function pictureView() {
    const sheet = el("div", { class: "nz-sheet" }, image);
    if (paints()) {
      layer = el("canvas", { width: picture.width, height: picture.height, class: mode === "inpaint" ? "nz-mask" : "", role: "img", "aria-label": t("editor.layer." + mode) });
      paintable(layer);
      sheet.append(layer);
    }
    const pane = el("div", { class: "nz-sheet-pane", tabindex: "0", role: "group", "aria-label": t("editor.pane") }, sheet);
    pane.addEventListener("wheel", (event) => {
      if (!event.altKey && !event.ctrlKey) return;
      event.preventDefault();
      setZoom(scale() * (event.deltaY < 0 ? 1.15 : 1 / 1.15));
    }, { passive: false });
    return [toolbar(), pane];
  }
  function toolbar() {
    const bar = el("div", { class: "nz-tools", role: "toolbar", "aria-label": t("editor.tools") });
    if (paints()) {
      bar.append(
        button(t("editor.brush"), () => { brush.erase = false; tools(bar); }, { "data-tool": "brush", "data-focus": "brush" }),
        button(t("editor.eraser"), () => { brush.erase = true; tools(bar); }, { "data-tool": "eraser", "data-focus": "eraser" }));
      const size = el("input", { type: "range", min: 1, max: Math.max(64, Math.round(Math.min(picture.width, picture.height) / 2)), value: brush.size, "aria-label": t("editor.size"), title: t("editor.size") });
      size.addEventListener("input", () => { brush.size = Number(size.value); });
      bar.append(size);
      if (coloured()) bar.append(colours());
      bar.append(
        button(t("undo"), undo, { "data-tool": "undo", "data-focus": "undo" }),
        button(t("redo"), redo, { "data-tool": "redo", "data-focus": "redo" }),
        button(t("editor.clear"), clear, { "data-tool": "clear", "data-focus": "clear" }));
      if (mode === "inpaint") {
        const input = el("input", { type: "file", accept: "image/png,image/jpeg,image/webp", class: "nz-unseen", tabindex: "-1", "aria-hidden": "true" });
        input.addEventListener("change", () => { if (input.files[0]) maskFromFile(input.files[0]); input.value = ""; });
        bar.append(
          button(t("editor.fill"), () => { add({ kind: "fill" }); repaint(); }),
          button(t("editor.mask_file"), () => input.click(), { title: t("editor.mask_file.about") }), input);
      }
    }
    bar.append(
      el("span", { class: "nz-zoom" },
        button("−", () => setZoom(scale() / 1.25), { "aria-label": t("editor.zoom.out"), title: t("editor.zoom.out") }),
        button("", () => { zoom = zoom ? 0 : 1; lay(); }, { class: "nz-button nz-zoom-now", title: t("editor.zoom.fit") }),
        button("+", () => setZoom(scale() * 1.25), { "aria-label": t("editor.zoom.in"), title: t("editor.zoom.in") })),
      el("span", { class: "nz-muted nz-facts", text: `${picture.width} × ${picture.height}` }),
      button(t("editor.remove"), remove, { "data-focus": "remove" }));
    return bar;
  }
  function colours() {
    const own = el("input", { type: "color", value: brush.colour, "aria-label": t("editor.colour.own"), title: t("editor.colour.own") });
    own.addEventListener("input", () => { brush.colour = own.value; brush.erase = false; draw(); });
    const group = el("span", { class: "nz-colours", role: "group", "aria-label": t("editor.colour") });
    for (const colour of COLOURS) {
      const dot = button("", () => { brush.colour = colour; brush.erase = false; own.value = colour; draw(); }, { class: "nz-colour", "aria-label": `${t("editor.colour")} ${colour}`, "data-colour": colour });
      dot.style.background = colour;
      group.append(dot);
    }
    group.append(own);
    return group;
  }
  // What of the toolbar changes while it stands: nothing is made anew under the pointer.
  function tools(node) {
    const set = (name, pressed) => node.querySelector(`[data-tool=${name}]`)?.setAttribute("aria-pressed", String(pressed));
    set("brush", !brush.erase);
    set("eraser", brush.erase);
    for (const [name, has] of [["undo", strokes().length], ["redo", (undone[mode] || []).length], ["clear", strokes().length]]) {
      const one = node.querySelector(`[data-tool=${name}]`);
      if (one) one.disabled = !has;
    }
    for (const dot of node.querySelectorAll("[data-colour]")) dot.setAttribute("aria-pressed", String(dot.dataset.colour === brush.colour));
  }

  document.addEventListener("keydown", (event) => {
    const inside = event.target.closest?.(".nz-editor");
    if (!inside || !paints() || event.target.matches("input[type=text]")) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      event.preventDefault();
      if (event.shiftKey) redo(); else undo();
    }
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "y") { event.preventDefault(); redo(); }
    if (event.key === "[" || event.key === "]") {
      brush.size = Math.max(1, Math.round(brush.size * (event.key === "]" ? 1.2 : 1 / 1.2) + (event.key === "]" ? 1 : 0)));
      const size = inside.querySelector("input[type=range]");
      if (size) size.value = brush.size;
    }
  });

  // ------------------------------------------------------------------------------------------ batch

  const batch = { images: [], masks: [], left: [] };
  const batchKey = () => JSON.stringify([batch.images.length, batch.masks.length, batch.left, busy]);
  async function addToBatch(kind, files) {
    batch.left = [];
    for (const file of files) {
      try {
        const given = await put(file, file.name);
        batch[kind] = [...batch[kind].filter((one) => one.name !== file.name), { name: file.name, id: given.id }];
      } catch (problem) {
        batch.left.push(problem.message);
      }
    }
    write(`batch-${kind}`, batch[kind].length ? JSON.stringify(batch[kind]) : "");
    draw();
  }
  function batchView() {
    const list = (kind) => {
      const box = el("div", { class: "nz-batch" },
        el("h3", { text: t(kind === "images" ? "batch.images" : "batch.masks", { n: batch[kind].length }) }),
        dropZone(t(kind === "images" ? "batch.drop" : "batch.drop.masks"), (files) => addToBatch(kind, [...files])));
      box.dataset.kind = kind;
      if (batch[kind].length) {
        box.append(el("ul", { class: "nz-batch-list" }, ...batch[kind].slice(0, 60).map((one) => el("li", {}, el("img", { src: `./ui/inputs/${one.id}`, alt: one.name, title: one.name, width: 56, height: 56, loading: "lazy" })))),
          button(t("batch.clear"), () => { batch[kind] = []; write(`batch-${kind}`, ""); draw(); }));
      }
      return box;
    };
    return [
      batch.left.length ? el("ul", { class: "nz-bad-list" }, ...batch.left.map((text) => el("li", { class: "nz-bad-text", text }))) : el("p", { class: "nz-muted", text: t("batch.about") }),
      list("images"), list("masks"),
    ];
  }
  function batchFrom(values) {
    for (const kind of ["images", "masks"]) {
      try {
        const found = JSON.parse(values[`batch__${kind}`] || "[]");
        if (Array.isArray(found) && found.length !== batch[kind].length) batch[kind] = found;
      } catch { /* not ours */ }
    }
  }

  // ------------------------------------------------------------------------------------------ dropping and pasting

  const isFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  document.addEventListener("dragover", (event) => {
    const node = event.target.closest?.(".nz-editor");
    if (node && isFiles(event)) { event.preventDefault(); event.stopPropagation(); node.classList.add("nz-over"); }
  });
  document.addEventListener("dragleave", (event) => { event.target.closest?.(".nz-editor")?.classList.remove("nz-over"); });
  document.addEventListener("drop", (event) => {
    const node = event.target.closest?.(".nz-editor");
    if (!node || !isFiles(event)) return;
    event.preventDefault();
    event.stopPropagation();
    node.classList.remove("nz-over");
    const kind = event.target.closest(".nz-batch")?.dataset.kind;
    if (mode === "batch") addToBatch(kind || "images", [...event.dataTransfer.files]);
    else accept(event.dataTransfer.files);
  }, true);
  document.addEventListener("paste", (event) => {
    if (!$(idOf(TAB, "editor"))?.checkVisibility()) return;
    const files = [...(event.clipboardData?.files || [])].filter((file) => file.type.startsWith("image/"));
    if (files.length) { event.preventDefault(); accept(files); }
  });

  // ------------------------------------------------------------------------------------------ with the rest of the page

  // The sides are pixels of the result, which begins with the picture at `width` x `height`.
  function grow(values) {
    const by = { left: "width", right: "width", up: "height", down: "height" };
    const [width, height] = resultOf(values);
    const result = { width, height };
    outside = Object.fromEntries(Object.entries(by).map(([side, along]) =>
      [side, ((Number(values[`outpaint__${side}`]) || 0) * (picture?.[along] || 0)) / result[along]]));
  }
  const byFactor = (values) => values["resize__way"] === "by";
  // The size that the picture is brought to.
  function resultOf(values) {
    const sides = ["width", "height"];
    if (!byFactor(values) || !picture) return sides.map((side) => Number(values[side]) || 512);
    return sides.map((side) => Math.max(1, Math.trunc(picture[side] * (Number(values["resize__scale"]) || 1))));
  }
  function drawWay() {
    const create = $(idOf(TAB, "create"));
    const values = held[TAB] || {};
    const way = byFactor(values) ? "by" : "to";
    if (!create) return;
    if (create.dataset.way !== way) {
      create.dataset.way = way;
      for (const name of ["aspect", "size"]) { const node = $(idOf(TAB, name)); if (node) { node.inert = way === "by"; node.classList.toggle("nz-idle", way === "by"); } }
    }
    const said = $(idOf(TAB, "resized"));
    const text = way === "by" && picture && mode !== "batch" ? `${picture.width} × ${picture.height} → ${resultOf(values).join(" × ")}` : "";
    if (said && said.textContent !== text) said.textContent = text;
  }

  window.noisette.join({
    draw: () => draw(),
    drafted: (tab, values) => {
      if (tab !== TAB) return;
      grow(values);
      if (values["img2img__mode"]) mode = values["img2img__mode"];
      batchFrom(values);
      draw();
    },
    answered: (tab, told) => {
      if (tab !== TAB || !["restored", "recalled"].includes(told.kind)) return;
      if (told.what === "defaults" && picture) remove();
      if (told.mode) mode = told.mode;
      if (told.image) show({ id: told.image }, { mask: told.mask || "" });
    },
    take: (tab, given, way) => {
      if (tab !== TAB) return;
      if (way) fill(TAB, { what: "mode", mode: way });
      show(given, { fits: true });
    },
    collect: async (tab, values) => {
      if (tab !== TAB || mode === "batch") return;
      if (!picture) { values["img2img__image"] = ""; return; }
      values["img2img__image"] = picture.id;
      values["inpaint__mask"] = "";
      if (!paints() || !strokes().length) return;
      if (!layer) draw(true);
      await repaint();
      const sheet = document.createElement("canvas");
      sheet.width = picture.width;
      sheet.height = picture.height;
      const pen = sheet.getContext("2d");
      if (coloured()) {
        pen.drawImage(image, 0, 0);
        pen.drawImage(layer, 0, 0);
        values["img2img__image"] = (await put(await blobOf(sheet))).id;
        pen.clearRect(0, 0, sheet.width, sheet.height);
      }
      if (masking()) {
        pen.drawImage(layer, 0, 0);
        pen.globalCompositeOperation = "source-in";
        pen.fillStyle = "#ffffff";
        pen.fillRect(0, 0, sheet.width, sheet.height);
        pen.globalCompositeOperation = "destination-over";
        pen.fillStyle = "#000000";
        pen.fillRect(0, 0, sheet.width, sheet.height);
        values["inpaint__mask"] = (await put(await blobOf(sheet))).id;
      }
    },
  });
})();
