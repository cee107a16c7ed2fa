/** A person as a round mark: an initial, on a colour of their own. */

import { make } from "./dom.js";
import { firstCluster } from "./text.js";

/** @param {string} name @param {string} [sign] instead of the initial */
export function avatar(name, sign) {
  const mark = make("span", { class: "avatar", "aria-hidden": "true", title: name }, sign ?? initial(name));
  mark.style.setProperty("--hue", String(hue(name)));
  return mark;
}

/** @param {string} name */
function initial(name) {
  return firstCluster(firstCluster(name).toLocaleUpperCase()) || "?";
}

/** A colour for each name. @param {string} name */
function hue(name) {
  let sum = 0;
  for (const letter of name) sum = (sum * 37 + (letter.codePointAt(0) ?? 0)) % 360;
  return sum;
}
