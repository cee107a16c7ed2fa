/** Undo: of each change that was made here, the newest first; offered for a moment, and on Ctrl+Z. */

import { attempt } from "./attempts.js";
import { toast } from "./dom.js";

/** @typedef {import("./http.js").Api} Api */
/** @typedef {import("./types.js").Task} Task */
/** @typedef {{taskId: string, version: number | null}} Change of no known version: the newest one of mine */

const MOST = 100;

export class Undo {
  /** @type {Change[]} */ #changes = [];

  /** @param {Api} api @param {(task: Task) => void} onUndone */
  constructor(api, onUndone) {
    this.api = api;
    this.onUndone = onUndone;
  }

  /** Say what was done, and offer to undo it. @param {string} text @param {string} taskId @param {number | null} version */
  offer(text, taskId, version) {
    const change = { taskId, version };
    this.#changes.push(change);
    if (this.#changes.length > MOST) this.#changes.shift();
    toast(text, { action: "Undo", onAction: () => void this.#undo(change) });
  }

  /** Ctrl+Z, or Cmd+Z, but for where text is typed. @param {KeyboardEvent} event */
  key(event) {
    if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey || event.key.toLowerCase() !== "z") return;
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const change = this.#changes.at(-1);
    if (!change) return;
    event.preventDefault();
    void this.#undo(change);
  }

  /** @param {Change} change */
  async #undo(change) {
    if (!this.#changes.includes(change)) return;
    this.#changes = this.#changes.filter((each) => each !== change);
    await attempt(async () => {
      const body = change.version === null ? {} : { version: change.version };
      const task = await this.api.ask("POST", `/api/tasks/${change.taskId}/undo`, { body });
      if (task?.id) this.onUndone(task);
      toast(`Undone.`);
    });
  }
}

/** @param {EventTarget | null} target */
export function isTyping(target) {
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button", "submit"].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}
