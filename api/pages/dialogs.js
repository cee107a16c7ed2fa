/** Questions that stand in the way until they are answered. */

import { make } from "./dom.js";

/** @typedef {{label: string, value: string, kind?: "primary" | "danger"}} Choice */

/**
 * Ask a question; what was chosen, or null if nothing was.
 *
 * @param {string} title
 * @param {(Node | string)[]} content
 * @param {Choice[]} choices
 * @returns {Promise<string | null>}
 */
export function choose(title, content, choices) {
  const buttons = choices.map(({ label, value, kind = "" }) =>
    make("button", { type: "submit", class: kind, value }, label),
  );
  const cancel = make("button", { type: "submit", value: "", class: "quiet", formnovalidate: true }, "Cancel");
  const box = make(
    "dialog",
    { class: "box", "aria-label": title },
    make("form", { method: "dialog" }, make("h2", {}, title), ...content, make("div", { class: "choices" }, cancel, ...buttons)),
  );
  document.body.append(box);
  box.showModal();
  return new Promise((resolve) => {
    box.addEventListener("close", () => {
      box.remove();
      resolve(box.returnValue || null);
    });
  });
}
