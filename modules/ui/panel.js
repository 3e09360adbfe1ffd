// What the scripts of extensions' panels and tabs have in common with the page: `window.noisette.panel(words)`, part of the
// door and written down in docs/extensions.md. A name that is there today is there tomorrow.
"use strict";

window.noisette.panel = (words) => {
  const { el, pick } = window.noisette.kit;
  const texts = typeof words === "string" ? JSON.parse(words) : words;
  // The visitor's language; it is the same until the page is loaded anew.
  const language = document.documentElement.lang.toLowerCase().startsWith("zh") ? "zh" : "en";
  // The extension's own text under `key`, with its {names} filled in; the key itself where there is none.
  function t(key, values) {
    let text = texts[language]?.[key] ?? texts.en?.[key] ?? key;
    for (const [name, value] of Object.entries(values || {})) text = text.replaceAll("{" + name + "}", value);
    return text;
  }
  // A button without the page's own looks.
  const button = (text, run, attributes) => el("button", { type: "button", text, ...attributes, on: { click: run } });
  return { language, t, pick, el, button };
};
