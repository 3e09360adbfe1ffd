// Conveniences of the prompt fields: weights and order by keys, a counter of tokens, settings pasted as text.
"use strict";

(() => {
  const { $, MAKERS, idOf, el, button, t, ask, type, field, part, fill, models, modelOf } = window.noisette.kit;
  const STEP = 0.1;
  const NETWORK_STEP = 0.05;  // of <lora:name:0.8>
  const BOUND = ".,\\/!?%^*;:{}=`~()<>[]";
  const FIELDS = ["prompt", "negative"];

  const isProse = (node) => node.matches?.("textarea") && node.closest(".nz-prose");

  // Put in as typing is, so that the browser's own undo takes it back.
  function replace(area, from, to, text, select) {
    area.setSelectionRange(from, to);
    if (!document.execCommand("insertText", false, text)) {
      type(area.closest("[id]").id, area.value.slice(0, from) + text + area.value.slice(to));
    }
    area.setSelectionRange(select[0], select[1]);
  }

  // ------------------------------------------------------------------------------------------ weights

  // The innermost pair of `open` and `close` around `at`: [where it opens, where it closes], or null.
  function around(text, at, open, close) {
    let depth = 0, from = -1;
    for (let i = at - 1; i >= 0; i -= 1) {
      if (text[i - 1] === "\\") continue;
      if (text[i] === close) depth += 1;
      else if (text[i] === open) { if (depth === 0) { from = i; break; } depth -= 1; }
    }
    if (from < 0) return null;
    depth = 0;
    for (let i = from + 1; i < text.length; i += 1) {
      if (text[i - 1] === "\\") continue;
      if (text[i] === open) depth += 1;
      else if (text[i] === close) { if (depth === 0) return i >= at ? [from, i] : null; depth -= 1; }
    }
    return null;
  }
  const round = (value) => String(Number(value.toFixed(2)));

  function weigh(area, by) {
    const text = area.value;
    let { selectionStart: from, selectionEnd: to } = area;
    const network = from === to && around(text, from, "<", ">");
    if (network) {
      const inside = text.slice(network[0] + 1, network[1]);
      const found = /^(.*:)(-?\d+(?:\.\d+)?)$/s.exec(inside);
      const [head, value] = found ? [found[1], Number(found[2])] : [inside + ":", 1];
      const next = `${head}${round(value + by * NETWORK_STEP)}`;
      replace(area, network[0] + 1, network[1], next, [from, from]);
      return;
    }
    if (from === to) {
      const round_ = around(text, from, "(", ")"), square = around(text, from, "[", "]");
      const pair = round_ && square ? (round_[0] > square[0] ? round_ : square) : round_ || square;
      if (pair) return reweigh(area, pair, text[pair[0]] === "(", by);
      while (from > 0 && !/\s/.test(text[from - 1]) && !BOUND.includes(text[from - 1])) from -= 1;
      while (to < text.length && !/\s/.test(text[to]) && !BOUND.includes(text[to])) to += 1;
      if (from === to) return;
    } else {
      while (from < to && /\s/.test(text[from])) from += 1;
      while (to > from && /\s/.test(text[to - 1])) to -= 1;
      // "(word:1.1)" with the word still selected: the same weight goes on
      const tail = /^:-?\d+(?:\.\d+)?\)/.exec(text.slice(to));
      if (text[from - 1] === "(" && (tail || text[to] === ")")) {
        return reweigh(area, [from - 1, to + (tail ? tail[0].length - 1 : 0)], true, by);
      }
    }
    const word = text.slice(from, to);
    const next = `(${word}:${round(1 + by * STEP)})`;
    replace(area, from, to, next, [from + 1, from + 1 + word.length]);
  }
  // "(text)", "(text:1.2)" or "[text]" with another weight; at 1 the brackets go.
  function reweigh(area, [open, close], isRound, by) {
    let [from, to] = [open, close + 1];
    let body = area.value.slice(open + 1, close);
    const found = isRound && /^(.*):(-?\d+(?:\.\d+)?)$/s.exec(body);
    let weight = 1;
    if (found) { body = found[1]; weight = Number(found[2]); }
    else {
      // Brackets without a number: each pair is a factor of 1.1.
      weight = isRound ? 1.1 : 1 / 1.1;
      const [a, b] = isRound ? "()" : "[]";
      while (area.value[from - 1] === a && area.value[to] === b) { from -= 1; to += 1; weight *= isRound ? 1.1 : 1 / 1.1; }
      while (body.startsWith(a) && body.endsWith(b)) { body = body.slice(1, -1); weight *= isRound ? 1.1 : 1 / 1.1; }
      weight = Math.round(weight * 10) / 10;
    }
    const next = Number((weight + by * STEP).toFixed(2));
    const text = next === 1 ? body : `(${body}:${round(next)})`;
    const start = from + (next === 1 ? 0 : 1);
    replace(area, from, to, text, [start, start + body.length]);
  }

  // ------------------------------------------------------------------------------------------ order

  // Commas outside of brackets part the items.
  function itemsOf(text) {
    const items = [];
    let depth = 0, from = 0;
    for (let i = 0; i <= text.length; i += 1) {
      if (i === text.length || (text[i] === "," && depth === 0)) { items.push([from, i]); from = i + 1; }
      else if ("([<{".includes(text[i])) depth += 1;
      else if (")]>}".includes(text[i])) depth = Math.max(0, depth - 1);
    }
    return items;
  }
  function move(area, by) {
    const text = area.value, items = itemsOf(text);
    const { selectionStart: start, selectionEnd: end } = area;
    const first = items.findIndex(([, to]) => start <= to);
    let last = first;
    while (last + 1 < items.length && items[last][1] < end) last += 1;
    const other = by < 0 ? first - 1 : last + 1;
    if (first < 0 || other < 0 || other >= items.length) return;
    const words = items.map(([from, to]) => text.slice(from, to).trim());
    const moving = words.splice(first, last - first + 1);
    words.splice(by < 0 ? first - 1 : first + 1, 0, ...moving);
    const place = by < 0 ? first - 1 : first + 1;
    const whole = words.join(", ");
    const from = words.slice(0, place).reduce((sum, word) => sum + word.length + 2, 0);
    replace(area, 0, text.length, whole, [from, from + moving.join(", ").length]);
  }

  document.addEventListener("keydown", (event) => {
    if (event.isComposing || !isProse(event.target) || event.shiftKey) return;
    const command = (event.ctrlKey || event.metaKey) && !event.altKey;
    if (command && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      event.preventDefault();
      weigh(event.target, event.key === "ArrowUp" ? 1 : -1);
    } else if (event.altKey && !event.ctrlKey && !event.metaKey && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      event.preventDefault();  // or the browser would leave the page
      move(event.target, event.key === "ArrowLeft" ? -1 : 1);
    }
  });

  // ------------------------------------------------------------------------------------------ pasted settings

  // As `imaging.infotext` reads it: a last line of at least three `Key: value`.
  function isInfotext(text) {
    const last = text.trim().split("\n").at(-1);
    return /(^|\n)Steps: \d+, /.test(text) && (last.slice(0, 4000).match(/(?:^|, )\w[\w \-/]{1,60}: [^,]/g) || []).length >= 3;
  }
  document.addEventListener("paste", (event) => {
    if (!isProse(event.target)) return;
    const text = event.clipboardData?.getData("text/plain") || "";
    if (!isInfotext(text)) return;
    event.preventDefault();
    const tab = MAKERS.find((one) => event.target.closest(`#${idOf(one, "create")}`));
    fill(tab, { what: "text", text: text.slice(0, 1_000_000) });
  });

  // ------------------------------------------------------------------------------------------ tokens

  const counted = new Map();  // of each field: what was asked for, and the timer
  function count(tab, name) {
    const area = $(idOf(tab, name))?.querySelector("textarea");
    if (!area) return;
    const asked = `${modelOf(tab) || ""}\n${area.value}`;
    const id = idOf(tab, name);
    const last = counted.get(id);
    if (last?.asked === asked) return;
    clearTimeout(last?.timer);
    const timer = setTimeout(async () => {
      try {
        const found = await ask("tokens", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ text: area.value, model: modelOf(tab) || null, negative: name === "negative" }) });
        if (counted.get(id)?.asked === asked) show(id, found);
      } catch { counted.delete(id); }
    }, 350);
    counted.set(id, { asked, timer });
  }
  function show(id, found) {
    const box = $(id);
    const label = box?.querySelector("[data-testid='block-info']");
    if (!label) return;
    let node = box.querySelector(".nz-tokens");
    if (!node) { node = el("span", { class: "nz-tokens" }); label.append(node); }
    node.textContent = found.used ? `${found.used}/${found.room}` : "";
    node.title = found.used ? t("tokens", { used: found.used, room: found.room }) : "";
  }

  // ------------------------------------------------------------------------------------------ textual inversions

  // Those that the model can read, in Advanced; one click writes the name into the prompt.
  function drawInversions(tab) {
    const card = models().cards[modelOf(tab)];
    const names = Object.entries(card?.embeddings || {});
    part(idOf(tab, "inversions"), JSON.stringify([Boolean(card), names]), () => {
      if (!card) return [];
      return [
        el("span", { class: "nz-label", text: t("inversions") }),
        names.length
          ? el("ul", { class: "nz-inversions" }, ...names.map(([name, tokens]) =>
            el("li", {}, button(name, () => append(tab, name), { title: t("inversions.use", { name, tokens }), "aria-label": t("inversions.use", { name, tokens }), "data-focus": name }))))
          : el("p", { class: "nz-muted nz-facts", text: t("inversions.none") }),
      ];
    });
  }
  function append(tab, name) {
    const area = field(idOf(tab, "prompt"));
    if (!area) return;
    const word = name.replace(/[\\()[\]]/g, "\\$&");
    const before = area.value.trimEnd();
    type(idOf(tab, "prompt"), before ? `${before}${before.endsWith(",") ? "" : ","} ${word}` : word);
  }

  window.noisette.join({
    draw: () => MAKERS.forEach(drawInversions),
    drafted: (tab) => { for (const name of FIELDS) count(tab, name); },
    answered: (tab, told) => { if (told.kind === "restored" || told.kind === "model") setTimeout(() => { for (const name of FIELDS) count(tab, name); }, 200); },
  });
})();
