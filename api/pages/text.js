/** Text as people read it: nothing is cut inside a grapheme cluster, and characters are code points. */

const clusters = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** The first grapheme cluster of a text. @param {string} text */
export function firstCluster(text) {
  for (const { segment } of clusters.segment(text)) return segment;
  return "";
}

/** The beginning of a text, of whole clusters: so many code points at most. @param {string} text @param {number} limit */
export function beginning(text, limit) {
  if (text.length <= limit) return text;
  let size = 0;
  for (const { segment, index } of clusters.segment(text)) {
    size += Array.from(segment).length;
    if (size > limit) return text.slice(0, index);
  }
  return text;
}

/** A text of so many code points at most, with a sign where it was cut. @param {string} text @param {number} limit */
export function shortened(text, limit) {
  if (Array.from(text).length <= limit) return text;
  return `${beginning(text, limit - 1).trimEnd()}…`;
}

/**
 * Keep what is typed into a field to as many code points as it may have: the browser's own `maxlength` counts
 * halves of some characters, and cuts between them.
 *
 * @param {HTMLInputElement | HTMLTextAreaElement} field
 */
function limit(field) {
  const longest = Number(field.dataset["longest"]);
  const cut = () => {
    const kept = beginning(field.value, longest);
    if (kept !== field.value) field.value = kept;
  };
  field.addEventListener("input", (event) => {
    // What an input method composes is cut when it is done.
    if (!(event instanceof InputEvent && event.isComposing)) cut();
  });
  field.addEventListener("compositionend", cut);
}

/** Keep all fields of the page that have a `data-longest` to it. */
export function limitFields() {
  for (const field of document.querySelectorAll("[data-longest]")) {
    if (field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement) limit(field);
  }
}
