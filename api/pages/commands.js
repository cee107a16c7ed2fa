/** What a person does to tasks: shown at once as if it were granted, asked for, and open to undo. */

import { attempt } from "./attempts.js";
import { choose } from "./dialogs.js";
import { ApiError, newKey } from "./http.js";
import { TASK_DEFAULTS } from "./task_defaults.js";
import { shortened } from "./text.js";
import { timeZone } from "./values.js";

/** @typedef {import("./http.js").Api} Api */
/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./undo.js").Undo} Undo */

const LONGEST_NAME = 60;

export class Commands {
  /** @param {{api: Api, store: Store, undo: Undo, onChange: () => void}} options */
  constructor({ api, store, undo, onChange }) {
    this.api = api;
    this.store = store;
    this.undo = undo;
    this.onChange = onChange;
  }

  /** Add a task below another one. @param {string} title @param {Task} parent @param {() => void} onFailure */
  async add(title, parent, onFailure) {
    await this.#add("/api/tasks", title, parent.list_id, parent.id, onFailure);
  }

  /** Add a task to the list that is shown, with the fields that are in the text. @param {string} text
   *  @param {() => void} onFailure */
  async quickAdd(text, onFailure) {
    const { listId } = this.store;
    if (!listId) return;
    const zone = timeZone();
    const path = `/api/tasks?quick=1${zone ? `&time_zone=${encodeURIComponent(zone)}` : ""}`;
    await this.#add(path, text, listId, null, onFailure);
  }

  /** @param {string} path @param {string} title @param {string} listId @param {string | null} parentId
   *  @param {() => void} onFailure */
  async #add(path, title, listId, parentId, onFailure) {
    const correlation = newKey();
    if (listId === this.store.listId) this.store.drafts.set(correlation, draft(correlation, listId, title, parentId));
    this.onChange();
    await attempt(async () => {
      const body = { title, list_id: listId, ...(parentId ? { parent_id: parentId } : {}) };
      const headers = { "X-Correlation-ID": correlation, "Idempotency-Key": correlation };
      this.#take(await this.api.ask("POST", path, { body, headers }));
    }, onFailure);
    this.store.drafts.delete(correlation);
    this.onChange();
  }

  /** @param {Task} task @param {boolean} done */
  async complete(task, done) {
    const wish = { status: /** @type {"done" | "open"} */ (done ? "done" : "open") };
    const path = `/api/tasks/${task.id}/${done ? "complete" : "reopen"}`;
    const answer = await this.#wish(task, wish, "POST", path);
    if (!answer || answer.version === task.version) return;
    this.undo.offer(`${done ? "Completed" : "Reopened"} “${shortened(task.title, LONGEST_NAME)}”.`, task.id, answer.version ?? null);
  }

  /** @param {Task} task */
  async delete(task) {
    const answer = await this.#wish(task, null, "DELETE", `/api/tasks/${task.id}`);
    if (!answer) return;
    this.store.tasks.delete(task.id);
    this.undo.offer(`Deleted “${shortened(task.title, LONGEST_NAME)}”.`, task.id, null);
    this.onChange();
  }

  /** Pass over an occurrence. @param {Task} task */
  async skip(task) {
    const answer = await this.#wish(task, {}, "POST", `/api/tasks/${task.id}/skip`);
    if (answer) this.undo.offer(`Skipped “${shortened(task.title, LONGEST_NAME)}”.`, task.id, answer.version ?? null);
  }

  /** Put a task next to another one. @param {Task} task @param {Task} other @param {"before" | "after"} side as ranks go */
  async move(task, other, side) {
    const below = side === "after" ? other : this.store.nextBelow(other);
    // "!" comes before every digit of a rank: nothing lies between.
    const wish = { rank: below ? `${below.rank}!` : "" };
    await this.#wish(task, wish, "POST", `/api/tasks/${task.id}/move`, { [side]: other.id });
  }

  /** Show a wish, ask for it, and ask again with sub-tasks if that is what they say; null if it isn't granted.
   *  @param {Task} task @param {Partial<Task> | null} wish @param {string} method @param {string} path
   *  @param {unknown} [body] @returns {Promise<Partial<Task> | null>} */
  async #wish(task, wish, method, path, body) {
    this.store.wishes.set(task.id, wish);
    this.onChange();
    const answer = await attempt(async () => {
      const more = body === undefined ? {} : { body };
      try {
        return (await this.api.ask(method, path, more)) ?? {};
      } catch (error) {
        if (!isAboutSubTasks(error)) throw error;
        if (!(await withSubTasks(task))) return null;
        return (await this.api.ask(method, `${path}?cascade=true`, more)) ?? {};
      }
    });
    if (answer) this.#take(answer);
    this.store.wishes.delete(task.id);
    this.onChange();
    return answer ?? null;
  }

  /** @param {any} task what a command answered; nothing is known of it yet if it has no id */
  #take(task) {
    if (task?.id) this.store.putTask(task);
  }
}

/** @param {unknown} error */
function isAboutSubTasks(error) {
  return error instanceof ApiError && error.status === 409 && error.message.includes("cascade");
}

/** @param {Task} task */
async function withSubTasks(task) {
  const text = `“${shortened(task.title, LONGEST_NAME)}” has sub-tasks. Include them?`;
  return (await choose("Include sub-tasks?", [text], [{ label: "With sub-tasks", value: "yes", kind: "primary" }])) !== null;
}

/** @param {string} correlation @param {string} listId @param {string} title @param {string | null} parentId @returns {Task} */
function draft(correlation, listId, title, parentId) {
  const now = new Date().toISOString();
  return {
    ...structuredClone(TASK_DEFAULTS),
    id: correlation,
    list_id: listId,
    title,
    status: "open",
    parent_id: parentId,
    series: null,
    reminded: [],
    comment_count: 0,
    rank: `~${now}`,
    version: 0,
    created_at: now,
    created_by: "",
    updated_at: now,
    completed_at: null,
    deleted_at: null,
  };
}
