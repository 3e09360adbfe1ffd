// Style presets: chips on a generation tab (`props.face` is "chips") or the tab of all presets ("tab"). What a person or
// a file wrote is put in as text, never as markup. `server.styles_…` is `desk.py`.
const root = element.querySelector(".styles-" + props.face);
const { language, t, el, button } = window.noisette.panel(props.words);
const titled = (preset) => (language === "zh" && preset.name_zh) || preset.name;

// What there is of them: `condition && node` is false where the condition is.
function present(...children) {
  return children.flat().filter((child) => child !== null && child !== undefined && child !== false);
}
const isPicture = (source) => /^data:image\/(webp|png|jpeg);base64,/.test(source || "");

const notice = el("p", { class: "styles-notice styles-muted", role: "status", hidden: true });
function tell(text, bad) {
  notice.textContent = text;
  notice.hidden = !text;
  notice.className = "styles-notice " + (bad ? "styles-bad" : "styles-muted");
}
async function ask(name, data) {
  try {
    const answer = await server[name](data);
    if (answer?.error) { tell(answer.error[language], true); return null; }
    return answer;
  } catch {
    tell(t("failed"), true);
    return null;
  }
}

// ---------------------------------------------------------------------------------------------- the shelf

// Search, groups and cards; `pick` is what a click on a card does.
function shelfOf(pick) {
  const search = el("input", { type: "search", placeholder: t("search"), "aria-label": t("search") });
  const groups = el("div", { class: "styles-groups", role: "group" });
  const count = el("p", { class: "styles-muted", "aria-live": "polite" });
  const results = el("div", { class: "styles-results" });
  const broken = el("p", { class: "styles-bad", hidden: true });
  let group = "", waiting = 0, asked = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => look(0), 180); });

  async function look(page) {
    const mine = ++asked;
    const answer = await ask("styles_search", { words: search.value, group, page });
    if (!answer || mine !== asked) return;
    if (!page) results.replaceChildren();
    results.querySelector(".styles-next")?.remove();
    groups.replaceChildren(...["", ...answer.groups].map((name) =>
      button(name ? t(name) : t("all"), () => { group = name; look(0); }, { "aria-pressed": String(name === group) })));
    count.textContent = answer.total ? t("found", { n: answer.total }) : t("nothing");
    broken.hidden = !answer.broken.length;
    broken.textContent = t("broken", { names: answer.broken.join(", ") });
    for (const preset of answer.items) results.append(cardOf(preset));
    if ((page + 1) * answer.page < answer.total) results.append(button(t("more"), () => look(page + 1), { class: "styles-next" }));
  }
  function cardOf(preset) {
    const picture = isPicture(preset.thumb)
      ? el("img", { src: preset.thumb, alt: "", loading: "lazy" })
      : el("span", { class: "styles-text", "aria-hidden": "true", title: t("nopicture"), text: preset.prompt.replace("{prompt}", "…") });
    return el("button", { type: "button", class: "styles-card", title: preset.prompt, "aria-pressed": "false", on: { click: (event) => pick(preset, event.currentTarget) } },
      picture, el("span", { text: titled(preset) }));
  }
  return { node: el("div", { class: "styles-shelf" }, search, groups, count, broken, results), look, search, results };
}

// ---------------------------------------------------------------------------------------------- the chips

function chips() {
  let rows = [];
  let written = "";   // what the store held when the chips were drawn
  const panel = () => element.closest('[id$="panel-styles"]');
  const tabName = () => (panel()?.id.includes("img2img") ? "img2img" : "txt2img");
  const store = () => document.querySelector(`[data-styles-store="${props.uid}"]`)?.stylesStore;
  const list = el("ul", { class: "styles-list" });
  const live = el("p", { class: "styles-muted", "aria-live": "polite" });
  const shelf = shelfOf((preset) => {
    if (rows.some((row) => row.name === preset.name)) { remove(preset.name); return; }
    rows.push({ ...preset, amount: 1 });
    live.textContent = titled(preset) + " +";
    keep();
  });
  shelf.node.hidden = true;
  const add = button(t("add"), () => show(shelf.node.hidden), { "aria-expanded": "false" });
  shelf.node.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    event.preventDefault();
    show(false);
  });
  function show(shown) {
    shelf.node.hidden = !shown;
    add.setAttribute("aria-expanded", String(shown));
    add.textContent = shown ? t("close") : t("add");
    if (shown) { shelf.look(0); shelf.search.focus(); } else add.focus();
  }
  const spell = () => rows.map((row) => (row.amount === 1 ? row.name : `${row.name}:${+row.amount.toFixed(3)}`)).join(", ");
  function keep(redraw = true) {
    written = spell();
    store()?.set(written);
    if (redraw) draw();
  }
  function remove(name) { rows = rows.filter((row) => row.name !== name); keep(); add.focus(); }

  function draw() {
    list.replaceChildren(...(rows.length ? rows.map(chip) : [el("li", { class: "styles-muted", text: t("empty") })]));
  }
  function chip(row, place) {
    const name = titled(row);
    const slide = el("input", { type: "range", min: 0, max: 2, step: 0.05, value: row.amount, "aria-label": t("amount", { name }) });
    const exact = el("input", { type: "number", min: 0, max: 2, step: 0.05, value: row.amount, "aria-label": t("amount", { name }) });
    const set = (value) => {
      row.amount = Math.min(2, Math.max(0, Number(value) || 0));
      slide.value = row.amount;
      exact.value = row.amount;
      keep(false);
    };
    slide.addEventListener("input", () => set(slide.value));
    exact.addEventListener("change", () => set(exact.value));
    const values = Object.entries(row.parameters || {});
    return el("li", { class: "styles-chip" },
      isPicture(row.thumb) && el("img", { class: "styles-thumb", src: row.thumb, alt: "" }),
      el("span", { text: name, title: row.prompt || "" }), slide, exact,
      button("↑", () => { rows.splice(place, 1); rows.splice(place - 1, 0, row); keep(); }, { "aria-label": t("up", { name }), disabled: place === 0 }),
      button("×", () => remove(row.name), { "aria-label": t("remove", { name }) }),
      row.missing && el("p", { class: "styles-bad", text: row.missing[language] }),
      values.length > 0 && button(t("settings", { values: values.map(([key, value]) => `${key} ${value}`).join(", ") }),
        () => window.noisette?.kit.fill(tabName(), { what: "values", values: row.parameters })));
  }

  async function filled() {
    const names = store()?.get();
    const text = typeof names === "string" ? names : "";
    if (text === written) return;
    written = text;
    const answer = text ? await ask("styles_named", { names: text }) : { rows: [] };
    if (!answer || text !== written) return;
    rows = answer.rows;
    draw();
  }
  const attach = setInterval(() => {
    const holder = document.querySelector(`[data-styles-store="${props.uid}"]`);
    if (!holder) return;
    clearInterval(attach);
    holder.addEventListener("styles-names", filled);
    filled();
  }, 100);
  root.append(list, add, shelf.node, notice, live);
  draw();
}

// ---------------------------------------------------------------------------------------------- the tab

function tab() {
  const side = el("div", { class: "styles-side" });
  const shelf = shelfOf((preset, card) => {
    for (const each of shelf.results.querySelectorAll("[aria-pressed=true]")) each.setAttribute("aria-pressed", "false");
    card.setAttribute("aria-pressed", "true");
    show(preset);
  });
  const file = el("input", { type: "file", accept: ".csv,.json,text/csv,application/json", hidden: true });
  const over = el("input", { type: "checkbox" });
  file.addEventListener("change", async () => {
    const given = file.files[0];
    file.value = "";
    if (!given) return;
    const answer = await ask("styles_import", { text: given.size > 5_000_000 ? "x".repeat(5_000_001) : await given.text(), over: over.checked });
    if (answer) { tell(t("imported", answer)); shelf.look(0); }
  });
  const exported = async (as) => {
    const answer = await ask("styles_export", { as });
    if (!answer) return;
    const link = el("a", { href: URL.createObjectURL(new Blob([answer.text], { type: as === "csv" ? "text/csv" : "application/json" })), download: `styles.${as}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  function show(preset) {
    const values = Object.entries(preset.parameters || {});
    side.replaceChildren(...present(
      el("h3", { text: titled(preset) }),
      isPicture(preset.thumb) && el("img", { src: preset.thumb, alt: "" }),
      el("p", { class: "styles-words", text: preset.prompt }),
      preset.negative && el("p", { class: "styles-muted", text: `– ${preset.negative}` }),
      values.length > 0 && el("p", { class: "styles-muted", text: values.map(([key, value]) => `${key}: ${value}`).join(", ") }),
      preset.note && el("p", { class: "styles-muted", text: preset.note }),
      el("div", { class: "styles-line" },
        button(t("use", { name: titled(preset) }), () => use(preset)),
        button(preset.own ? t("edit") : t("copy"), async () => { const whole = await ask("styles_get", { name: preset.name }); if (whole) edit(whole.preset, preset.own); }),
        preset.own && button(t("delete"), async () => { if (await ask("styles_delete", { name: preset.name })) { tell(t("deleted", { name: preset.name })); blank(); shelf.look(0); } }))));
  }
  function use(preset) {
    const kit = window.noisette?.kit;
    const now = kit?.held.txt2img?.styles__names;
    const names = typeof now === "string" && now.trim() ? now.split(",").map((name) => name.trim()) : [];
    if (!names.some((name) => name.replace(/\s*:\s*[\d.]+$/, "") === preset.name)) names.push(preset.name);
    kit?.fill("txt2img", { what: "values", values: { styles__names: names.join(", ") } });
    tell(t("used", { name: titled(preset) }));
  }
  function blank() { side.replaceChildren(el("p", { class: "styles-muted", text: t("select") }), button(t("new"), () => edit({ name: "", prompt: "{prompt}, " }, true))); }

  function edit(preset, own) {
    const inputs = {};
    const field = (key, tag = "input", value = preset[key] ?? "") => {
      inputs[key] = el(tag, { value, ...(tag === "input" ? { type: "text" } : {}), maxlength: key === "prompt" || key === "negative" ? 8000 : 2000 });
      return el("label", { class: "styles-field" }, el("span", { text: t(key) }), inputs[key]);
    };
    let picture = preset.picture || "";
    const shown = el("img", { alt: "", hidden: !picture });
    if (isPicture(picture)) shown.src = picture;
    const take = (source) => {
      const image = new Image();
      image.onload = () => {
        const scale = Math.min(1, 192 / Math.max(image.naturalWidth, image.naturalHeight));
        const canvas = el("canvas", { width: Math.max(1, Math.round(image.naturalWidth * scale)), height: Math.max(1, Math.round(image.naturalHeight * scale)) });
        canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
        picture = canvas.toDataURL("image/webp", 0.85);
        shown.src = picture;
        shown.hidden = false;
      };
      image.onerror = () => tell(t("picture.bad"), true);
      image.src = source;
    };
    const chooser = el("input", { type: "file", accept: "image/*", hidden: true });
    chooser.addEventListener("change", () => {
      const reader = new FileReader();
      reader.onload = () => take(reader.result);
      if (chooser.files[0]) reader.readAsDataURL(chooser.files[0]);
    });
    const again = el("input", { type: "checkbox" });
    if (own && preset.name) again.checked = true;
    const form = el("form", { class: "styles-side", on: { submit: (event) => { event.preventDefault(); save(); } } },
      field("name"), field("name_zh"), field("group", "input", preset.group && !own ? "" : preset.group ?? ""),
      field("prompt", "textarea"), field("negative", "textarea"), field("note"),
      field("parameters", "input", Object.keys(preset.parameters || {}).length ? JSON.stringify(preset.parameters) : ""),
      shown, chooser,
      el("div", { class: "styles-line" }, button(t("picture"), () => chooser.click()),
        button(t("picture.shown"), () => { const found = document.querySelector("#nz-canvas img, #nz-img2img-canvas img"); if (found?.naturalWidth) take(found.src); else tell(t("picture.none"), true); })),
      el("label", { class: "styles-line" }, again, el("span", { text: t("over") })),
      el("div", { class: "styles-line" }, el("button", { type: "submit", text: t("save") }), button(t("cancel"), blank)));
    side.replaceChildren(form);
    inputs.name.focus();

    async function save() {
      let parameters = {};
      try { parameters = inputs.parameters.value.trim() ? JSON.parse(inputs.parameters.value) : {}; } catch { tell(t("parameters.bad"), true); return; }
      const words = Object.fromEntries(["name", "name_zh", "group", "prompt", "negative", "note"].map((key) => [key, inputs[key].value]));
      const answer = await ask("styles_save", { preset: { ...words, parameters, picture }, over: again.checked });
      if (!answer) return;
      tell(t("saved", { name: answer.name }));
      await shelf.look(0);
      blank();
    }
  }

  root.append(
    el("div", { class: "styles-line nz-owner" }, button(t("import"), () => file.click()), file,
      el("label", { class: "styles-line" }, over, el("span", { text: t("import.over") })),
      button(t("csv"), () => exported("csv")), button(t("json"), () => exported("json"))),
    notice, el("div", { class: "styles-columns" }, shelf.node, side));
  blank();
  // A tab that is not shown asks for nothing.
  new IntersectionObserver((seen, observer) => {
    if (!seen.some((each) => each.isIntersecting)) return;
    observer.disconnect();
    shelf.look(0);
  }).observe(root);
}

if (props.face === "chips") chips(); else tab();
