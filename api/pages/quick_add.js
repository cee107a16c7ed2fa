/** The field that adds a task: as one types it shows which parts of the text become fields of the task. */

import { make, the } from "./dom.js";
import { timeZone } from "./values.js";

/** @typedef {import("./http.js").Api} Api */
/** @typedef {{text: string, field: string, value: string}} Part */
/** @typedef {{text: string, reason: string}} Unread */

const TYPING_MS = 150;
const LABELS = new Map([
  ["due", "Due"],
  ["recurrence", "Repeats"],
  ["priority", "Priority"],
  ["tags", "Tag"],
  ["assignees", "For"],
]);

export class QuickAdd {
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #asked = 0;

  /** @param {{api: Api, listId: () => string | null, signal: AbortSignal}} options */
  constructor({ api, listId, signal }) {
    this.api = api;
    this.listId = listId;
    this.input = the("task-title", HTMLInputElement);
    this.preview = the("task-preview", HTMLElement);
    this.input.addEventListener("input", () => this.#later(), { signal });
    signal.addEventListener("abort", () => this.show([], []));
    this.show([], []);
  }

  /** Take the text out of the field. @returns {string} */
  take() {
    const text = this.input.value.trim();
    this.input.value = "";
    clearTimeout(this.#timer);
    this.#asked += 1;
    this.show([], []);
    return text;
  }

  /** Put a text back that could not be added, unless another one is there. @param {string} text */
  giveBack(text) {
    if (this.input.value) return;
    this.input.value = text;
    this.#later();
  }

  /** @param {Part[]} parts @param {Unread[]} unread */
  show(parts, unread) {
    const read = parts.map((part) =>
      make("span", { class: "chip", title: part.text }, `${LABELS.get(part.field) ?? part.field}: ${said(part)}`),
    );
    const left = unread.map((part) => make("span", { class: "muted" }, `${part.text}: ${part.reason}`));
    this.preview.replaceChildren(...read, ...left);
    this.preview.hidden = read.length + left.length === 0;
  }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#ask(), this.input.value.trim() ? TYPING_MS : 0);
  }

  async #ask() {
    this.#asked += 1;
    const [asked, text, listId] = [this.#asked, this.input.value.trim(), this.listId()];
    if (!text || !listId) {
      this.show([], []);
      return;
    }
    const zone = timeZone();
    const query = new URLSearchParams({ text, list_id: listId, ...(zone ? { time_zone: zone } : {}) });
    // A preview that fails is none; what is wrong is said when the task is added.
    const read = await this.api.ask("GET", `/api/quick-add?${query}`).catch(() => ({ parts: [], unread: [] }));
    if (asked === this.#asked) this.show(read.parts, read.unread);
  }
}

/** @param {Part} part */
function said({ field, value, text }) {
  if (field === "recurrence") return text.trim();
  if (field !== "due") return value;
  const [day, time] = [value.slice(0, 10), value.slice(11, 16)];
  const date = new Date(`${day}T12:00`).toLocaleDateString(undefined, { weekday: "short", day: "numeric", month: "short", year: "numeric" });
  return time ? `${date}, ${time}` : date;
}
