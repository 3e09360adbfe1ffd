// The Extensions tab: lines with their state, and bringing, changing and removing extensions where the server allows it.
"use strict";

(() => {
  const { $, el, button, t, pick, part } = window.noisette.kit;
  let rows = null;        // what the server answered: {extensions, admin, removed}
  let asking = false;
  let working = null;     // what was asked for and is not answered yet
  let said = null;        // {text, bad}
  let preview = null;     // what would be installed
  let sure = null;        // the extension that a first click on Remove named

  // Fetching from git and looking for packages takes longer than anything else on the page.
  async function send(path, body) {
    const response = await fetch("./ui/extensions" + path, {
      method: body === undefined ? "GET" : "POST", cache: "no-store", signal: AbortSignal.timeout(900000),
      headers: body === undefined ? {} : { "content-type": "application/json" }, body: body === undefined ? undefined : JSON.stringify(body),
    });
    const answer = await response.json();
    if (response.status === 403 && answer.detail) return { error: answer.detail };
    if (!response.ok && !answer.error) throw new Error(String(response.status));
    return answer;
  }

  async function load() {
    asking = true;
    try { rows = await send(""); } catch { rows = null; setTimeout(() => { asking = false; draw(); }, 2000); return; }
    asking = false;
    for (const one of rows.extensions) {
      for (const panel of document.querySelectorAll(`[id^="nz-"][id$="panel-${CSS.escape(one.name)}"]`)) panel.hidden = one.state !== "active";
    }
    draw();
  }

  async function act(what, path, body, then) {
    working = what;
    said = null;
    sure = null;
    draw();
    try {
      const answer = await send(path, body);
      if (answer.error) said = { text: pick(answer.error), bad: true };
      else then?.(answer);
    } catch {
      said = { text: t("error.connection"), bad: true };
    }
    working = null;
    await load();
  }

  const change = (one, what) => act(one.name + what, `/${encodeURIComponent(one.name)}/${what}`, {}, () => {
    said = { text: t("extensions.said." + what, { name: pick(one.title) || one.name }) };
  });
  const update = (one) => act(one.name + "update", `/${encodeURIComponent(one.name)}/update`, {}, (answer) => {
    preview = answer.preview;
    if (!preview) said = { text: t("extensions.said.newest", { name: pick(one.title) || one.name }) };
  });
  const fetchIt = () => {
    const source = $("nz-extension-source")?.value.trim();
    if (source) act("preview", "/preview", { source }, (answer) => { preview = answer.preview; });
  };
  const yes = () => {
    const { id, title, name } = preview;
    act("install", "/install", { id }, () => { preview = null; said = { text: t("extensions.said.install", { name: pick(title) || name }) }; });
  };
  const no = () => { const { id } = preview; preview = null; act("discard", "/discard", { id }); };

  const facts = (pairs) => el("dl", { class: "nz-facts-list" }, ...pairs.filter(([, value]) => value).flatMap(([name, value]) => [
    el("dt", { text: name }), el("dd", {}, ...[value].flat().map((each) => (typeof each === "string" ? el("span", { text: each }) : each))),
  ]));
  const allowed = (names) => (names.length ? names.map((name) => t("extensions.permission." + name)).join(", ") : t("extensions.permission.none"));
  const bytes = (n) => (n < 1e6 ? Math.max(1, Math.round(n / 1e3)) + " kB" : (n / 1e6).toFixed(1) + " MB");

  function line(one) {
    const name = pick(one.title) || one.name;
    const busy = Boolean(working);
    const press = (what, run, more) => button(t("extensions." + what), run, { "aria-label": t("extensions." + what) + ": " + name, "data-focus": one.name + what, disabled: busy || null, ...more });
    const actions = rows.admin ? el("div", { class: "nz-actions" },
      one.state === "active" ? press("disable", () => change(one, "disable")) : press("enable", () => change(one, "enable")),
      one.origin ? press("update", () => update(one)) : null,
      one.before ? press("rollback", () => change(one, "rollback")) : null,
      sure === one.name ? press("sure", () => change(one, "remove")) : press("remove", () => { sure = one.name; draw(); })) : null;
    const details = el("details", { class: "nz-details" }, el("summary", { text: t("extensions.details"), "data-focus": one.name + "details" }),
      facts([
        [t("extensions.time"), one.state === "active" ? t("extensions.ms", { n: Math.round(one.seconds * 1000) }) : ""],
        [t("extensions.hooks"), one.hooks.join(", ")],
        [t("extensions.permissions"), allowed(one.permissions)],
        [t("extensions.origin"), one.origin ? [one.origin.source, one.origin.commit].filter(Boolean).join(" @ ") : ""],
      ]),
      one.traceback ? el("pre", { tabindex: "0", text: one.traceback }) : null);
    return el("li", { class: "nz-row nz-extension-row", "data-state": one.state, "data-name": one.name },
      el("div", { class: "nz-what" },
        el("strong", { text: name }),
        el("span", { class: "nz-muted", text: [one.name, one.version].filter(Boolean).join(" ") }),
        pick(one.description) ? el("span", { text: pick(one.description) }) : null,
        one.reason ? el("span", { class: "nz-bad-text", text: pick(one.reason) }) : null,
        one.failed && one.failed.count && one.state === "active" ? el("span", { class: "nz-bad-text", text: t("extensions.failed.jobs", { n: one.failed.count, why: pick(one.failed.error) }) }) : null,
        ...one.warnings.map((warning) => el("span", { class: "nz-bad-text", text: pick(warning) })),
        one.restart ? el("span", { class: "nz-muted", text: t("extensions.restart") }) : null,
        details, actions),
      el("span", { class: "nz-state", text: t("extensions." + one.state) }));
  }

  function form() {
    if (!rows.admin) return [el("p", { class: "nz-muted nz-aside", text: t("extensions.local") })];
    const input = el("input", { type: "text", id: "nz-extension-source", class: "nz-input", placeholder: t("extensions.source.hint"), "data-focus": "source", autocomplete: "off", spellcheck: "false" });
    input.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); fetchIt(); } });
    return [
      el("h3", { text: t("extensions.install") }),
      el("p", { class: "nz-muted", text: t("extensions.install.about") }),
      el("div", { class: "nz-extension-form" }, el("label", { for: "nz-extension-source", text: t("extensions.source") }), input,
        button(working === "preview" ? t("extensions.looking") : t("extensions.look"), fetchIt, { disabled: working ? true : null, "data-focus": "look" })),
      rows.removed.length ? el("ul", { class: "nz-rows" }, ...rows.removed.map((name) => el("li", { class: "nz-row" },
        el("div", { class: "nz-what" }, el("strong", { text: name }), el("span", { class: "nz-muted", text: t("extensions.removed") })),
        button(t("extensions.restore"), () => change({ name }, "rollback"), { "aria-label": t("extensions.restore") + ": " + name, "data-focus": "r" + name })))) : null,
    ];
  }

  function question() {
    const files = el("details", { class: "nz-details" }, el("summary", { text: t("extensions.files", { n: preview.count, size: bytes(preview.size) }) }),
      el("pre", { tabindex: "0", text: preview.files.map((file) => `${file.path}  ${file.size}`).join("\n") }));
    const { added, changed, removed } = preview.changes;
    return [el("section", { class: "nz-panel nz-extension-preview", "aria-label": t("extensions.preview") },
      el("h3", { text: t(preview.version_before ? "extensions.preview.update" : "extensions.preview.new", { name: pick(preview.title), version: preview.version, before: preview.version_before }) }),
      pick(preview.description) ? el("p", { text: pick(preview.description) }) : null,
      facts([
        [t("extensions.permissions"), allowed(preview.permissions)],
        [t("extensions.packages"), preview.packages.length ? preview.packages.join(", ") : t("extensions.packages.none")],
        [t("extensions.changes"), preview.version_before ? t("extensions.changes.text", { added, changed, removed }) : ""],
        [t("extensions.origin"), [preview.source, preview.commit].filter(Boolean).join(" @ ")],
        ["SHA-256", preview.digest],
        [t("extensions.licence"), preview.licence],
      ]),
      files,
      el("p", { class: "nz-bad-text", text: t("extensions.trust") }),
      el("div", { class: "nz-actions" },
        button(working === "install" ? t("extensions.installing") : t("extensions.yes"), yes, { class: "nz-button nz-primary", disabled: working ? true : null, "data-focus": "yes" }),
        button(t("extensions.no"), no, { disabled: working ? true : null, "data-focus": "no" })))];
  }

  function draw() {
    if (!$("nz-extension-list")) return;
    if (!rows) { if (!asking) load(); return; }
    part("nz-extension-said", JSON.stringify(said), () => (said ? [el("p", { class: said.bad ? "nz-bad-text" : "nz-muted", text: said.text })] : []));
    part("nz-extension-list", JSON.stringify([rows, working, sure]), () =>
      rows.extensions.length === 0 ? [el("p", { class: "nz-nothing", text: t("extensions.empty") })] : [el("ul", { class: "nz-rows" }, ...rows.extensions.map(line))]);
    part("nz-extension-install", JSON.stringify([rows.admin, rows.removed, preview, working === "install" || working === "preview"]), () => (preview ? question() : form()));
  }

  window.noisette.join({ draw });
})();
