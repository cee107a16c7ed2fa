/** The tasks below the one that is open. */

import { make, rows, the } from "/page/dom.js";

/** @typedef {import("./commands.js").Commands} Commands */
/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./types.js").Task} Task */

export class SubTasks {
  /** @param {Store} store @param {Commands} commands @param {(task: Task) => void} onOpen */
  constructor(store, commands, onOpen) {
    this.store = store;
    this.commands = commands;
    this.onOpen = onOpen;
    this.form = the("new-sub-task", HTMLFormElement);
    this.form.onsubmit = (event) => {
      event.preventDefault();
      this.#add();
    };
  }

  /** @param {string} taskId @param {boolean} editable */
  draw(taskId, editable) {
    this.taskId = taskId;
    this.form.hidden = !editable;
    const children = this.store.children(taskId);
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
      const task = this.store.task(id);
      if (task) void this.commands.complete(task, check.checked);
    });
    const open = () => {
      const task = this.store.task(id);
      if (task) this.onOpen(task);
    };
    return make("li", { class: "sub-task" }, check, make("button", { type: "button", class: "title", click: open }));
  }

  #add() {
    const input = the("sub-task-title", HTMLInputElement);
    const title = input.value.trim();
    if (!title || !this.taskId) return;
    input.value = "";
    void this.commands.add(title, this.taskId, () => {
      if (!input.value) input.value = title;
    });
  }
}
