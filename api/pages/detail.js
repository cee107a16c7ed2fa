/** One task in full: a form for what can be edited, and everything that ever happened to it. */

import { ApiError } from "/page/http.js";
import { make, the, toast } from "/page/dom.js";

/** @typedef {import("./http.js").Api} Api */
/** @typedef {import("./types.js").Changes} Changes */
/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").TaskEvent} TaskEvent */
/** @typedef {import("./types.js").Update} Update */

const PAGE = 50;
const FIELDS = /** @type {const} */ (["title", "notes", "due", "priority"]);
/** @type {Record<string, string>} */
const DID = {
  "task.created": "created it",
  "task.edited": "edited it",
  "task.completed": "completed it",
  "task.reopened": "reopened it",
  "task.moved": "moved it",
  "task.deleted": "deleted it",
  "task.restored": "restored it",
};
/** Fields that say no more than the event's type does. */
const IMPLIED = new Set(["status", "completed_at", "deleted_at", "rank", "list_id"]);

export class Detail {
  /** @type {string | null} */ taskId = null;
  /** @type {Task | null} the task that the form's values started from */ #from = null;
  /** @type {string | null} */ #cursor = null;
  /** @type {Set<string>} */ #shown = new Set();

  /** @param {Api} api @param {(task: Task) => void} onEdited @param {() => void} onChange */
  constructor(api, onEdited, onChange) {
    this.api = api;
    this.onEdited = onEdited;
    this.onChange = onChange;
    this.panel = the("detail", HTMLElement);
    this.form = the("detail-form", HTMLFormElement);
    this.history = the("history", HTMLElement);
    this.form.onsubmit = (event) => {
      event.preventDefault();
      void this.#save();
    };
    the("close-detail", HTMLElement).onclick = () => this.close();
    the("more-history", HTMLElement).onclick = () => void this.#readHistory();
    this.panel.onkeydown = (event) => {
      if (event.key === "Escape") this.close();
    };
  }

  /** @param {Task} task */
  open(task) {
    if (task.version === 0) return;
    this.taskId = task.id;
    this.#from = null;
    this.#cursor = null;
    this.#shown.clear();
    this.history.replaceChildren();
    this.#fill(task);
    this.panel.hidden = false;
    const title = this.#field("title");
    title.focus();
    if (title instanceof HTMLInputElement) title.setSelectionRange(0, 0);
    this.onChange();
    void this.#readHistory();
  }

  close() {
    if (this.taskId === null) return;
    this.taskId = null;
    this.panel.hidden = true;
    this.onChange();
  }

  /** Take news of the task: into the form, where nobody is typing, and into its history. @param {Update} update */
  hear(update) {
    if (this.taskId === null || update.event.stream !== `task:${this.taskId}`) return;
    if (!update.task) {
      toast(`${update.event.actor} deleted this task.`);
      this.close();
      return;
    }
    this.#fill(update.task);
    if (this.#cursor === null) this.#addEvents([{ ...update.event, changes: update.changes }]);
  }

  /** @param {(typeof FIELDS)[number]} name */
  #field(name) {
    const field = this.form.elements.namedItem(name);
    if (
      field instanceof HTMLInputElement ||
      field instanceof HTMLTextAreaElement ||
      field instanceof HTMLSelectElement
    ) {
      return field;
    }
    throw new Error(`the form has no ${name}`);
  }

  /** Put the task's values into the form, but for those that were changed there. @param {Task} task */
  #fill(task) {
    if (this.#from && this.#from.version >= task.version) return;
    for (const name of FIELDS) {
      const field = this.#field(name);
      if (!this.#from || field.value === shownValue(this.#from, name)) field.value = shownValue(task, name);
    }
    this.#from = task;
    const facts = [
      ["Stage", task.stage ?? ""],
      ["Assigned to", task.assignees.join(", ")],
      ["Tags", task.tags.join(", ")],
      ["Due", task.due && task.due.length > 10 ? when(task.due) : ""],
    ];
    the("facts", HTMLElement).replaceChildren(
      ...facts.flatMap(([name, text]) =>
        text ? [make("dt", {}, name ?? ""), make("dd", {}, text)] : [],
      ),
    );
  }

  async #save() {
    const from = this.#from;
    if (!from) return;
    /** @type {Record<string, string | null>} */
    const changed = {};
    for (const name of FIELDS) {
      const { value } = this.#field(name);
      if (value !== shownValue(from, name)) changed[name] = name === "due" ? value || null : value;
    }
    if (Object.keys(changed).length === 0) {
      this.close();
      return;
    }
    try {
      const task = await this.api.ask("PATCH", `/api/tasks/${from.id}`, {
        body: changed,
        headers: { "If-Match": `"${from.version}"` },
      });
      if (task.id) this.onEdited(task);
      if (this.taskId === from.id) this.close();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const isConflict = error instanceof ApiError && error.code === "conflict";
      toast(isConflict ? `Someone changed the same meanwhile: ${message}` : message, { bad: true });
    }
  }

  async #readHistory() {
    const id = this.taskId;
    const more = this.#cursor ? `&cursor=${encodeURIComponent(this.#cursor)}` : "";
    try {
      const page = await this.api.ask("GET", `/api/tasks/${id}/history?limit=${PAGE}${more}`);
      if (this.taskId !== id) return;
      this.#cursor = page.next_cursor;
      this.#addEvents(page.items);
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), { bad: true });
    }
    the("more-history", HTMLElement).hidden = this.#cursor === null;
  }

  /** @param {TaskEvent[]} events */
  #addEvents(events) {
    for (const event of events) {
      if (this.#shown.has(event.position)) continue;
      this.#shown.add(event.position);
      this.history.append(
        make(
          "li",
          {},
          make("span", { class: "did" }, make("b", {}, event.actor), ` ${DID[event.type] ?? event.type}`),
          make("time", { datetime: event.time, title: event.time }, when(event.time)),
          ...(event.type === "task.created" ? [] : changeLines(event.changes ?? {})),
        ),
      );
    }
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
        `${name.replace("_", " ")}: `,
        make("del", {}, brief(before)),
        " → ",
        make("ins", {}, brief(after)),
      ),
    );
}

/** @param {unknown} value */
function brief(value) {
  const text = Array.isArray(value) ? value.join(", ") : String(value ?? "");
  if (text === "") return "nothing";
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/** @param {string} time */
function when(time) {
  return new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** A field's value as the form shows it. @param {Task} task @param {(typeof FIELDS)[number]} name */
function shownValue(task, name) {
  // Text areas turn every line end into one character.
  return name === "due" ? (task.due ?? "").slice(0, 10) : task[name].replace(/\r\n?/g, "\n");
}
