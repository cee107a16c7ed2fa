/** Everything that ever happened to a task, as it happens. */

import { attempt } from "./attempts.js";
import { make, the } from "./dom.js";
import { brief, when } from "./values.js";

/** @typedef {import("./http.js").Api} Api */
/** @typedef {import("./types.js").Changes} Changes */
/** @typedef {import("./types.js").TaskEvent} TaskEvent */

const PAGE = 50;
/** @type {Record<string, string>} */
const DID = {
  "task.created": "created it",
  "task.edited": "edited it",
  "task.completed": "completed it",
  "task.reopened": "reopened it",
  "task.moved": "moved it",
  "task.deleted": "deleted it",
  "task.restored": "restored it",
  "task.skipped": "skipped an occurrence",
  "task.commented": "commented",
  "task.comment_edited": "edited a comment",
  "task.comment_deleted": "deleted a comment",
  "task.reminded": "sent a reminder",
  "task.undone": "undid a change",
  "task.reverted": "returned it to an earlier state",
};
/** Fields that say no more than the event's type does. */
const IMPLIED = new Set(["status", "completed_at", "deleted_at", "rank", "list_id", "time_zone", "series", "reminded", "comment_count", "parent_id"]);

export class History {
  /** @type {string | null} */ #taskId = null;
  /** @type {string | null} */ #cursor = null;
  /** @type {Set<string>} */ #shown = new Set();

  /** @param {Api} api */
  constructor(api) {
    this.api = api;
    this.list = the("history", HTMLElement);
    the("more-history", HTMLElement).onclick = () => void this.#read();
  }

  /** @param {string | null} taskId */
  show(taskId) {
    this.#taskId = taskId;
    this.#cursor = null;
    this.#shown.clear();
    this.list.replaceChildren();
    if (taskId !== null) void this.#read();
  }

  /** Take news of the task. @param {TaskEvent} event */
  hear(event) {
    if (this.#cursor === null) this.#add([event]);
  }

  async #read() {
    const id = this.#taskId;
    const more = this.#cursor ? `&cursor=${encodeURIComponent(this.#cursor)}` : "";
    await attempt(async () => {
      const page = await this.api.ask("GET", `/api/tasks/${id}/history?limit=${PAGE}${more}`);
      if (this.#taskId !== id) return;
      this.#cursor = page.next_cursor;
      this.#add(page.items);
    });
    the("more-history", HTMLElement).hidden = this.#cursor === null;
  }

  /** @param {TaskEvent[]} events */
  #add(events) {
    for (const event of events) {
      if (this.#shown.has(event.position)) continue;
      this.#shown.add(event.position);
      const line = make(
        "li",
        {},
        make("span", { class: "did" }, make("b", {}, event.actor), ` ${DID[event.type] ?? event.type}`),
        make("time", { datetime: event.time, title: event.time }, when(event.time)),
        ...(event.type === "task.created" ? [] : changeLines(event.changes ?? {})),
      );
      line.dataset["version"] = String(event.version);
      this.list.insertBefore(line, this.#after(event.version));
    }
  }

  /** The first line of a later event: what was read may be older than what was heard. @param {number} version */
  #after(version) {
    for (let line = this.list.lastElementChild; line; line = line.previousElementSibling) {
      if (line instanceof HTMLElement && Number(line.dataset["version"]) < version) return line.nextElementSibling;
    }
    return this.list.firstElementChild;
  }
}

/** @param {Changes} changes */
function changeLines(changes) {
  return Object.entries(changes)
    .filter(([name]) => !IMPLIED.has(name))
    .map(([name, [before, after]]) =>
      make(
        "span",
        { class: "change" },
        `${name.replaceAll("_", " ")}: `,
        make("del", {}, brief(before)),
        " → ",
        make("ins", {}, brief(after)),
      ),
    );
}
