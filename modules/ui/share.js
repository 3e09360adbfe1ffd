// The owner's panel of the public link: the link, its QR code, when it ends, and the switch that ends it now.
"use strict";

(() => {
  const { $, el, button, t, pick } = window.noisette.kit;
  let share = null;
  let timer = 0;
  let copied = false;

  async function send(path, method) {
    const response = await fetch("./ui/share/" + path, { method, cache: "no-store", signal: AbortSignal.timeout(15000) });
    if (!response.ok) throw new Error(String(response.status));
    return response.json();
  }

  // While the panel is open or the link on its way, it is looked at again; otherwise nobody asks.
  async function look() {
    clearTimeout(timer);
    try { set(await send("state", "GET")); } catch { /* the page says itself that the connection is lost */ }
    if ($("nz-share-panel")?.open || share?.state === "opening") timer = setTimeout(look, 3000);
  }

  function set(now) {
    share = now;
    const tool = $("nz-share");
    if (tool) tool.classList.toggle("nz-on", now.state === "open");
    show();
  }

  function said() {
    const until = new Date(share.ends * 1000).toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
    return t("share." + share.state, { until, why: share.why ? pick(share.why) : "" });
  }

  function left() {
    const minutes = Math.max(0, Math.ceil((share.ends - Date.now() / 1000) / 60));
    return minutes < 60 ? t("share.left.minutes", { m: minutes }) : t("share.left.hours", { h: Math.floor(minutes / 60), m: minutes % 60 });
  }

  async function copy() {
    const field = $("nz-share-link");
    field.select();
    try { await navigator.clipboard.writeText(field.value); } catch { document.execCommand("copy"); }
    copied = true;
    show();
    $("nz-share-copy")?.focus();
  }

  async function stop() {
    try { set(await send("stop", "POST")); } catch { look(); }
  }

  function show() {
    const panel = $("nz-share-panel");
    if (!panel || !panel.open) return;
    const state = JSON.stringify([share, copied]);
    // What is left goes on by itself; all else stands, and with it what the owner has selected there.
    if (panel.dataset.shown === state) { if ($("nz-share-left")) $("nz-share-left").textContent = left(); return; }
    panel.dataset.shown = state;
    const open = share.state === "open";
    panel.replaceChildren(
      el("h2", { id: "nz-share-title", text: t("share.title") }),
      el("p", { class: share.state === "failed" || share.state === "lost" ? "nz-bad-text" : "nz-muted", role: "status", text: said() }),
      open ? el("p", { id: "nz-share-left", class: "nz-muted", text: left() }) : "",
      ...(open ? [
        el("img", { id: "nz-share-code", src: "./ui/share/qr.svg?" + Math.round(share.ends), alt: t("share.qr"), width: "220", height: "220" }),
        el("input", { id: "nz-share-link", type: "text", readonly: true, value: share.link, "aria-label": t("share.link") }),
      ] : []),
      el("div", { class: "nz-actions" },
        open ? button(t(copied ? "share.copied" : "share.copy"), copy, { id: "nz-share-copy", class: "nz-button nz-primary" }) : null,
        open || share.state === "opening" ? button(t("share.stop"), stop, { id: "nz-share-stop", class: "nz-button nz-danger" }) : null,
        button(t("share.close"), () => panel.close(), {})));
  }

  function open() {
    const panel = $("nz-share-panel") || (document.querySelector(".gradio-container") || document.body).appendChild(el("dialog", { id: "nz-share-panel", class: "nz-dialog", "aria-labelledby": "nz-share-title" }));
    panel.onclick = (event) => { if (event.target === panel) panel.close(); };
    copied = false;
    delete panel.dataset.shown;
    if (!panel.open) panel.showModal();
    show();
    look();
  }

  // Called by access.js for the owner of a program that was started with --share.
  window.noisette.share = (now) => {
    const tools = $("nz-tools");
    if (!tools || $("nz-share")) return;
    tools.prepend(el("button", { type: "button", id: "nz-share", title: t("share.button.about"), "aria-label": t("share.button") + ". " + t("share.button.about"), on: { click: open } },
      el("span", { class: "nz-dot", "aria-hidden": "true" }), el("span", { class: "nz-long", text: t("share.button") }), el("span", { class: "nz-short", text: "⇪", "aria-hidden": "true" })));
    set(now);
    if (now.state === "opening") look();
  };
})();
