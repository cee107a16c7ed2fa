/** The manual order: rows that are dragged, or moved with Alt and the arrow keys. */

import { the } from "./dom.js";

/** @typedef {import("./commands.js").Commands} Commands */
/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./types.js").Task} Task */

export class Order {
  /** @type {{task: Task, row: HTMLElement} | null} */ #dragged = null;

  /** @param {Store} store @param {Commands} commands */
  constructor(store, commands) {
    this.store = store;
    this.commands = commands;
  }

  /** Let a row be moved. @param {HTMLElement} row @param {() => Task} current */
  follow(row, current) {
    row.addEventListener("dragstart", (event) => {
      this.#dragged = { task: current(), row };
      row.classList.add("dragged");
      if (event.dataTransfer) event.dataTransfer.effectAllowed = "move";
    });
    row.addEventListener("dragend", () => this.#end());
    row.addEventListener("dragover", (event) => this.#over(event, row, current()));
    row.addEventListener("dragleave", () => row.classList.remove("drop-above", "drop-below"));
    row.addEventListener("drop", (event) => this.#drop(event, row, current()));
    row.addEventListener("keydown", (event) => this.#key(event, current()));
  }

  #end() {
    this.#dragged?.row.classList.remove("dragged");
    this.#dragged = null;
    for (const row of the("tasks", HTMLElement).children) row.classList.remove("drop-above", "drop-below");
  }

  /** @param {DragEvent} event @param {HTMLElement} row @param {Task} other */
  #over(event, row, other) {
    if (!this.#dragged || !areSiblings(this.#dragged.task, other)) return;
    event.preventDefault();
    const above = isAbove(event, row);
    row.classList.toggle("drop-above", above);
    row.classList.toggle("drop-below", !above);
  }

  /** @param {DragEvent} event @param {HTMLElement} row @param {Task} other */
  #drop(event, row, other) {
    const dragged = this.#dragged?.task;
    const above = isAbove(event, row);
    this.#end();
    if (!dragged || !areSiblings(dragged, other)) return;
    event.preventDefault();
    void this.commands.move(dragged, other, above ? "after" : "before");
  }

  /** @param {KeyboardEvent} event @param {Task} task */
  #key(event, task) {
    const step = event.key === "ArrowUp" ? -1 : event.key === "ArrowDown" ? 1 : 0;
    if (!event.altKey || step === 0 || !this.store.mayEdit(task.list_id)) return;
    event.preventDefault();
    const siblings = this.store.shownTasks().map((shown) => shown.task).filter((each) => each.id === task.id || areSiblings(each, task));
    const other = siblings[siblings.findIndex((each) => each.id === task.id) + step];
    if (!other || other.version === 0) return;
    // The highest rank is on top.
    void this.commands.move(task, other, step < 0 ? "after" : "before");
  }
}

/** Whether one may stand next to the other. @param {Task} one @param {Task} other */
function areSiblings(one, other) {
  return one.id !== other.id && one.version > 0 && other.version > 0 && one.parent_id === other.parent_id && one.status === other.status;
}

/** @param {DragEvent} event @param {HTMLElement} row */
function isAbove(event, row) {
  const box = row.getBoundingClientRect();
  return event.clientY < box.top + box.height / 2;
}
