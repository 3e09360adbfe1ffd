// Who looks at the page: a guest can log out, and finds no panel of an extension that is off.
"use strict";

(() => {
  const { $, el, t, ask } = window.noisette.kit;
  let known = null;   // what the server says of who looks: {role, session, exposed, off}
  let asking = false;

  async function load() {
    asking = true;
    try { known = await ask("access"); } catch { setTimeout(() => { asking = false; }, 5000); return; }
    asking = false;
    document.documentElement.dataset.role = known.role;
    draw();
  }

  function draw() {
    const tools = $("nz-tools");
    if (!tools) return;
    if (!known) { if (!asking) load(); return; }
    if (known.session && !$("nz-logout")) {
      // A form: the cookie is out of a script's reach.
      tools.append(el("form", { method: "post", action: "./logout", id: "nz-logout" },
        el("button", { type: "submit", title: t("access." + known.role), "aria-label": t("access.logout") },
          el("span", { class: "nz-long", text: t("access.logout") }), el("span", { class: "nz-short", text: "⏏", "aria-hidden": "true" }))));
    }
    if (known.share) window.noisette.share(known.share);
    for (const name of known.off) {
      for (const panel of document.querySelectorAll(`[id^="nz-"][id$="panel-${CSS.escape(name)}"]`)) panel.hidden = true;
    }
  }

  window.noisette.join({ draw });
})();
