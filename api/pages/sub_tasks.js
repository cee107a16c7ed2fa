/** The tasks below the one that is open. */

import { attempt } from "./attempts.js";
import { make, rows, the } from "./dom.js";
import { inOrder } from "./store.js";
import { partsOf } from "./streams.js";

/** @typedef {import("./http.js").Api} Api */
/** @typedef {import("./commands.js").Commands} Commands */
/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").Update} Update */

const MOST = 200;

export class SubTasks {
  /** @type {Task | null} */ #parent = null;
  /** @type {string | null} */ #parentId = null;
  /** @type {Map<string, Task>} those that were read and heard of, in whichever list */ #known = new Map();

  /** @param {{api: Api, store: Store, commands: Commands, onOpen: (task: Task) => void, onChange: () => void}} options */
  constructor(options) {
    this.options = options;
    this.form = the("new-sub-task", HTMLFormElement);
    this.form.onsubmit = (event) => {
      event.preventDefault();
      this.#add();
    };
  }

  /** Read those below another task. @param {string | null} parentId */
  show(parentId) {
    this.#parentId = parentId;
    this.#known.clear();
    if (parentId === null) return;
    void attempt(async () => {
      const page = await this.options.api.ask("GET", `/api/tasks?parent_id=${parentId}&limit=${MOST}`);
      if (this.#parentId !== parentId) return;
      for (const task of page.items) this.#put(task);
      this.options.onChange();
    });
  }

  /** @param {Update} update */
  hear({ task, event }) {
    if (task && task.parent_id === this.#parentId) this.#put(task);
    else this.#known.delete(partsOf(event.stream).id);
  }

  /** @param {Task} task */
  #put(task) {
    if ((this.#known.get(task.id)?.version ?? 0) < task.version) this.#known.set(task.id, task);
  }

  /** @param {string} id */
  #task(id) {
    return this.options.store.task(id) ?? this.#known.get(id);
  }

  /** Those that were read, and those of the list that is shown as they are wished to be. @param {string} parentId */
  #children(parentId) {
    const { store } = this.options;
    const children = new Map(this.#known);
    for (const task of store.children(parentId)) children.set(task.id, task);
    return inOrder([...children.values()].filter(({ id }) => store.wishes.get(id) !== null));
  }

  /** @param {Task} parent @param {boolean} editable */
  draw(parent, editable) {
    this.#parent = parent;
    this.form.hidden = !editable;
    const children = this.#children(parent.id);
    the("sub-tasks-part", HTMLElement).hidden = !editable && children.length === 0;
    rows(the("sub-tasks", HTMLElement), children, ({ id }) => id, ({ id }) => this.#row(id), (row, task) => {
      const [check, title] = row.children;
      if (!(check instanceof HTMLInputElement) || !title) return;
      check.checked = task.status === "done";
      check.disabled = !editable || task.version === 0;
      check.setAttribute("aria-label", `Sub-task done: ${task.title}`);
      title.toggleAttribute("disabled", task.version === 0);
      if (title.textContent !== task.title) title.textContent = task.title;
      row.classList.toggle("done", task.status === "done");
    });
  }

  /** @param {string} id */
  #row(id) {
    const check = make("input", { type: "checkbox", class: "check" });
    check.addEventListener("change", () => {
      const task = this.#task(id);
      if (task) void this.options.commands.complete(task, check.checked);
    });
    const open = () => {
      const task = this.#task(id);
      if (task) this.options.onOpen(task);
    };
    return make("li", { class: "sub-task" }, check, make("button", { type: "button", class: "title", click: open }));
  }

  #add() {
    const input = the("sub-task-title", HTMLInputElement);
    const title = input.value.trim();
    if (!title || !this.#parent) return;
    input.value = "";
    void this.options.commands.add(title, this.#parent, () => {
      if (!input.value) input.value = title;
    });
  }
}
