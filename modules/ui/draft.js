// What is typed goes to the server as well, a little later and only when it has changed: the browser's own storage
// may be cleared or refused. Failing costs nothing that the browser does not still have, so it is silent.
"use strict";

(() => {
  const { $, MAKERS, idOf, button, t, part, fill, tell } = window.noisette.kit;
  const REST = 1200;  // milliseconds without a change before anything is sent
  const timers = {};
  const waiting = {};    // by tab: what is to be sent
  const sent = {};       // by tab: what the server has
  const open = new Set();     // tabs that have taken back what was typed
  const cleared = new Set();  // tabs that were cleared and not touched since

  function drafted(tab, now) {
    if (!open.has(tab) || cleared.has(tab)) return;
    const text = JSON.stringify(now);
    if (text === sent[tab]) return;
    waiting[tab] = text;
    clearTimeout(timers[tab]);
    timers[tab] = setTimeout(() => flush(tab), REST);
  }

  function flush(tab) {
    const text = waiting[tab];
    if (text === undefined) return;
    delete waiting[tab];
    clearTimeout(timers[tab]);
    sent[tab] = text;
    const failed = () => { if (sent[tab] === text) delete sent[tab]; };
    fetch("./ui/drafts/" + tab, { method: "PUT", body: text, keepalive: text.length < 60000, headers: { "Content-Type": "application/json" } })
      .then((answer) => { if (!answer.ok) failed(); }, failed);
  }
  window.addEventListener("pagehide", () => Object.keys(waiting).forEach(flush));

  async function clear(tab) {
    clearTimeout(timers[tab]);
    delete waiting[tab];
    delete sent[tab];
    cleared.add(tab);
    try {
      const answer = await fetch("./ui/drafts/" + tab, { method: "DELETE" });
      if (!answer.ok) throw new Error(String(answer.status));
      fill(tab, { what: "defaults" });
    } catch {
      tell(t("error.connection"), "bad");
    }
  }
  // Whatever is done by hand after that is worth keeping again.
  for (const event of ["input", "pointerdown", "keydown"]) {
    document.addEventListener(event, (happened) => {
      if (happened.isTrusted && !happened.target.closest?.(".nz-clear")) cleared.clear();
    }, true);
  }

  function answered(tab, told) {
    if (told.kind === "restored") open.add(tab);
  }

  function draw() {
    for (const tab of MAKERS) {
      if ($(idOf(tab, "clear"))) part(idOf(tab, "clear"), t("clear"), () => [button(t("clear"), () => clear(tab), { "data-focus": "clear" })]);
    }
  }

  window.noisette.join({ draw, drafted, answered });
})();
