/** Two edits of the same field: shows both, and lets one choose. */

import { choose } from "./dialogs.js";
import { make } from "./dom.js";
import { brief } from "./values.js";

/** @typedef {import("./types.js").Problem} Problem */

/**
 * Ask whose values count. The names of the fields where it is theirs, or null if nothing was chosen.
 *
 * @param {Problem} problem
 * @returns {Promise<string[] | null>}
 */
export async function settle({ theirs = {}, yours = {} }) {
  const names = Object.keys(theirs);
  const sets = names.map((name) =>
    make(
      "fieldset",
      { class: "versions" },
      make("legend", {}, name.replaceAll("_", " ")),
      option(name, "theirs", theirs[name], false),
      option(name, "yours", yours[name], true),
    ),
  );
  const line = make("p", { class: "muted" }, "Somebody else changed the same field. Which version do you keep?");
  const answer = await choose("Conflicting changes", [line, ...sets], [{ label: "Save", value: "save", kind: "primary" }]);
  if (answer === null) return null;
  return names.filter((_, index) => sets[index]?.querySelector("input")?.checked);
}

/** @param {string} name @param {"theirs" | "yours"} whose @param {unknown} value @param {boolean} checked */
function option(name, whose, value, checked) {
  const input = make("input", { type: "radio", name, value: whose, checked });
  return make("label", {}, input, make("span", { class: "muted" }, whose === "yours" ? "Yours" : "Theirs"), make("span", {}, brief(value)));
}
