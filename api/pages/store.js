/** What the page knows: lists, the tasks of the list that is shown, and what was changed but not yet confirmed. */

import { listStream, partsOf, taskStream } from "./streams.js";

/** @typedef {import("./types.js").Positions} Positions */
/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").TaskList} TaskList */
/** @typedef {import("./types.js").Update} Update */
/** @typedef {{task: Task, depth: number, below: number, belowDone: number}} Shown a task, and how many are below it */

export class Store {
  /** @type {Map<string, TaskList>} */ lists = new Map();
  /** @type {Map<string, Task>} */ tasks = new Map();
  /** @type {Map<string, Partial<Task> | null>} what was asked for; null: that the task be deleted */
  wishes = new Map();
  /** @type {Map<string, Task>} tasks that were added and not yet confirmed, by correlation id */
  drafts = new Map();
  /** @type {string | null} */ cursor = null;
  /** @type {string | null} */ listId = null;
  /** @type {Map<string, number>} the newest version seen of each stream, also of what is gone */
  #versions = new Map();

  /** @param {string} me */
  constructor(me) {
    this.me = me;
  }

  /** The list that is shown. */
  get list() {
    return this.lists.get(this.listId ?? "");
  }

  /** Whether I may change what is in a list. @param {string | null} listId */
  mayEdit(listId) {
    const role = this.lists.get(listId ?? "")?.members[this.me];
    return role === "owner" || role === "editor";
  }

  /** Take a list, if I am a member of it. @param {TaskList} list */
  putList(list) {
    if (!this.#isNews(listStream(list.id), list.version)) return;
    if (list.members[this.me]) this.lists.set(list.id, list);
    else this.lists.delete(list.id);
  }

  /** @param {Task} task */
  putTask(task) {
    const here = task.list_id === this.listId;
    // What lies on a page that was not read yet will be read with it.
    if (here && !this.#isInReach(task)) return;
    if (!this.#isNews(taskStream(task.id), task.version)) return;
    if (here) this.tasks.set(task.id, task);
    else this.tasks.delete(task.id);
  }

  /** @param {Update} update */
  apply(update) {
    const { kind, id } = partsOf(update.event.stream);
    if (kind === "list") {
      if (update.list) this.putList(update.list);
      else if (this.#isNews(update.event.stream, update.event.version)) this.lists.delete(id);
      return;
    }
    if (update.event.correlation_id) this.drafts.delete(update.event.correlation_id);
    if (update.task) this.putTask(update.task);
    else if (this.#isNews(update.event.stream, update.event.version)) this.tasks.delete(id);
  }

  /** Forget the lists, to put them anew. */
  forgetLists() {
    this.lists.clear();
    for (const stream of this.#versions.keys()) if (partsOf(stream).kind === "list") this.#versions.delete(stream);
  }

  /** Show another list; its tasks have to be put. @param {string} listId */
  show(listId) {
    this.listId = listId;
    this.cursor = null;
    this.tasks.clear();
    this.wishes.clear();
    this.drafts.clear();
    for (const stream of this.#versions.keys()) if (partsOf(stream).kind === "task") this.#versions.delete(stream);
  }

  /** The lists in order: the inbox, then the others as they were made. */
  orderedLists() {
    return [...this.lists.values()].sort(
      (a, b) => Number(b.inbox) - Number(a.inbox) || compare(a.created_at, b.created_at) || compare(a.id, b.id),
    );
  }

  /** A task as it is wished to be; undefined if it is not here, or not to be. @param {string} id */
  task(id) {
    const [task, wish] = [this.tasks.get(id), this.wishes.get(id)];
    return wish && task ? { ...task, ...wish } : wish === null ? undefined : task;
  }

  /** The tasks below another one, in their order. @param {string} id */
  children(id) {
    return inOrder(this.#wished().filter((task) => task.parent_id === id));
  }

  /**
   * The tasks to show, each as it is wished to be: open ones first, the highest rank first, and those that
   * are below another one right behind it.
   *
   * @returns {Shown[]}
   */
  shownTasks() {
    const tasks = this.#wished();
    const ids = new Set(tasks.map((task) => task.id));
    /** @type {Map<string | null, Task[]>} */
    const families = new Map();
    for (const task of tasks) {
      const parent = task.parent_id !== null && ids.has(task.parent_id) ? task.parent_id : null;
      const family = families.get(parent);
      if (family) family.push(task);
      else families.set(parent, [task]);
    }
    /** @type {Shown[]} */
    const shown = [];
    const show = (/** @type {string | null} */ parent, /** @type {number} */ depth) => {
      const family = families.get(parent) ?? [];
      families.delete(parent);
      for (const task of inOrder(family)) {
        const below = families.get(task.id) ?? [];
        const belowDone = below.filter((each) => each.status === "done").length;
        shown.push({ task, depth, below: below.length, belowDone });
        show(task.id, depth + 1);
      }
    };
    show(null, 0);
    return shown;
  }

  /** The task with the next lower rank. @param {Task} task */
  nextBelow(task) {
    /** @type {Task | undefined} */
    let found;
    for (const each of this.tasks.values()) {
      if (newestFirst(task, each) < 0 && (!found || newestFirst(each, found) < 0)) found = each;
    }
    return found;
  }

  #wished() {
    const tasks = [...this.drafts.values()];
    for (const task of this.tasks.values()) {
      const wish = this.wishes.get(task.id);
      if (wish !== null) tasks.push(wish === undefined ? task : { ...task, ...wish });
    }
    return tasks;
  }

  /** Whether a task lies within the pages that were read. @param {Task} task */
  #isInReach(task) {
    if (this.cursor === null || this.tasks.has(task.id)) return true;
    for (const each of this.tasks.values()) if (newestFirst(task, each) < 0) return true;
    return false;
  }

  /** @param {string} stream @param {number} version */
  #isNews(stream, version) {
    if ((this.#versions.get(stream) ?? 0) >= version) return false;
    this.#versions.set(stream, version);
    return true;
  }
}

/** @param {string} a @param {string} b */
function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Open ones first. @param {Task[]} tasks */
export function inOrder(tasks) {
  return tasks.sort((a, b) => Number(a.status === "done") - Number(b.status === "done") || newestFirst(a, b));
}

/** The order in which the pages are read, too. @param {Task} a @param {Task} b */
function newestFirst(a, b) {
  return compare(b.rank, a.rank) || compare(b.id, a.id);
}
