/** One task in full: a form for what can be edited, its sub-tasks, what is said of it, and its history. */

import { Comments } from "./comments.js";
import { settle } from "./conflict.js";
import { the, toast } from "./dom.js";
import { History } from "./history.js";
import { ApiError, lineOf } from "./http.js";
import { taskStream } from "./streams.js";
import { SubTasks } from "./sub_tasks.js";
import { TaskForm } from "./task_form.js";

/** @typedef {import("./http.js").Api} Api */
/** @typedef {import("./commands.js").Commands} Commands */
/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").Update} Update */
/** @typedef {import("./undo.js").Undo} Undo */

export class Detail {
  /** @type {Task | null} as it was last heard of */ #task = null;
  /** @type {HTMLElement | null} what had the focus before */ #opener = null;

  /** @param {{api: Api, store: Store, commands: Commands, undo: Undo, onChange: () => void}} options */
  constructor({ api, store, commands, undo, onChange }) {
    this.api = api;
    this.store = store;
    this.undo = undo;
    this.onChange = onChange;
    this.panel = the("detail", HTMLElement);
    this.form = new TaskForm();
    this.history = new History(api);
    this.comments = new Comments(api, store.me);
    this.subTasks = new SubTasks({ api, store, commands, onOpen: (task) => this.open(task), onChange });
    the("detail-form", HTMLFormElement).onsubmit = (event) => {
      event.preventDefault();
      void this.#save();
    };
    the("skip-task", HTMLElement).onclick = () => this.#task && void commands.skip(this.#task);
    the("close-detail", HTMLElement).onclick = () => this.close();
    this.panel.onkeydown = (event) => {
      if (event.key === "Escape") this.close();
    };
  }

  get taskId() {
    return this.#task?.id ?? null;
  }

  /** @param {Task} task */
  open(task) {
    if (task.version === 0) return;
    if (this.panel.hidden && document.activeElement instanceof HTMLElement) this.#opener = document.activeElement;
    this.#task = task;
    this.form.clear();
    this.form.fill(task);
    this.comments.show(task.id);
    this.subTasks.show(task.id);
    this.history.show(task.id);
    this.panel.hidden = false;
    this.panel.scrollTop = 0;
    this.draw();
    const title = the("edit-title", HTMLInputElement);
    title.focus();
    title.setSelectionRange(0, 0);
    this.onChange();
  }

  close() {
    if (this.#task === null) return;
    this.#task = null;
    this.panel.hidden = true;
    this.comments.show(null);
    this.subTasks.show(null);
    this.history.show(null);
    if (this.#opener?.isConnected) this.#opener.focus();
    this.onChange();
  }

  /** Take news of the task: into the form, where nobody is typing, and into what is below. @param {Update} update */
  hear(update) {
    if (this.#task === null) return;
    this.subTasks.hear(update);
    if (update.event.stream !== taskStream(this.#task.id)) return;
    if (!update.task) {
      if (update.event.actor !== this.store.me) toast(`${update.event.actor} deleted this task.`);
      this.close();
      return;
    }
    this.#take(update.task);
    this.history.hear({ ...update.event, changes: update.changes });
    this.comments.hear(update.event);
  }

  /** Show what the store knows. */
  draw() {
    const task = this.#task;
    if (task === null) return;
    if (!this.store.lists.has(task.list_id) && this.store.lists.size > 0) {
      this.close();
      return;
    }
    const known = this.store.tasks.get(task.id);
    if (known) this.#take(known);
    const editable = this.store.mayEdit(task.list_id);
    const list = this.store.lists.get(task.list_id);
    this.form.drawChoices(list, editable);
    this.comments.draw(list, editable);
    this.subTasks.draw(task, editable);
    the("skip-task", HTMLElement).hidden = !editable || !task.recurrence || task.status === "done";
  }

  /** @param {Task} task */
  #take(task) {
    if (this.#task && task.version > this.#task.version) this.#task = task;
    this.form.fill(task);
  }

  async #save() {
    const id = this.taskId;
    const { body, version, scope } = this.form.edit();
    if (id === null) return;
    if (Object.keys(body).length === 0) {
      this.close();
      return;
    }
    try {
      const task = await this.api.ask("PATCH", `/api/tasks/${id}${scope}`, { body, headers: { "If-Match": `"${version}"` } });
      if (task.id) this.store.putTask(task);
      if (task.version !== version) this.undo.offer(`Edited “${task.title ?? "the task"}”.`, id, task.version ?? null);
      if (this.taskId === id) this.close();
      this.onChange();
    } catch (error) {
      if (error instanceof ApiError && error.status === 409 && error.problem.theirs) await this.#settle(id, error.problem);
      else toast(lineOf(error), { bad: true });
    }
  }

  /** Let one choose between two edits, and save what was chosen. @param {string} id @param {import("./types.js").Problem} problem */
  async #settle(id, problem) {
    const theirs = await settle(problem);
    if (theirs === null || this.taskId !== id) return;
    try {
      const task = await this.api.ask("GET", `/api/tasks/${id}`);
      if (this.taskId !== id) return;
      this.form.take(task, theirs);
      await this.#save();
    } catch (error) {
      toast(lineOf(error), { bad: true });
    }
  }
}
