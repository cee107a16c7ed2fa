/** What the page knows: lists, the tasks of the list that is shown, and what was changed but not yet confirmed. */

/** @typedef {import("./types.js").Positions} Positions */
/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").TaskList} TaskList */
/** @typedef {import("./types.js").Update} Update */

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

  /** @param {TaskList} list */
  putList(list) {
    if (this.#isNews(`list:${list.id}`, list.version)) this.lists.set(list.id, list);
  }

  /** @param {Task} task */
  putTask(task) {
    const here = task.list_id === this.listId;
    // What lies on a page that was not read yet will be read with it.
    if (here && !this.#isInReach(task)) return;
    if (!this.#isNews(`task:${task.id}`, task.version)) return;
    if (here) this.tasks.set(task.id, task);
    else this.tasks.delete(task.id);
  }

  /** @param {Update} update */
  apply(update) {
    const [kind, id = ""] = update.event.stream.split(":");
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
    for (const stream of this.#versions.keys()) if (stream.startsWith("list:")) this.#versions.delete(stream);
  }

  /** Show another list; its tasks have to be put. @param {string} listId */
  show(listId) {
    this.listId = listId;
    this.cursor = null;
    this.tasks.clear();
    this.wishes.clear();
    this.drafts.clear();
    for (const stream of this.#versions.keys()) if (stream.startsWith("task:")) this.#versions.delete(stream);
  }

  /** The lists in order: the inbox, then the others as they were made. */
  orderedLists() {
    return [...this.lists.values()].sort(
      (a, b) => Number(b.inbox) - Number(a.inbox) || compare(a.created_at, b.created_at) || compare(a.id, b.id),
    );
  }

  /** The tasks to show: open ones first, newer ones first, each as it is wished to be. @returns {Task[]} */
  shownTasks() {
    const shown = [];
    for (const task of this.tasks.values()) {
      const wish = this.wishes.get(task.id);
      if (wish !== null) shown.push(wish === undefined ? task : { ...task, ...wish });
    }
    shown.sort(newestFirst);
    const all = [...[...this.drafts.values()].reverse(), ...shown];
    return [...all.filter((task) => task.status === "open"), ...all.filter((task) => task.status === "done")];
  }

  /** Whether a task lies within the pages that were read. @param {Task} task */
  #isInReach(task) {
    if (this.cursor === null || this.tasks.has(task.id)) return true;
    return [...this.tasks.values()].some((each) => newestFirst(task, each) < 0);
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

/** The order in which the pages are read, too. @param {Task} a @param {Task} b */
function newestFirst(a, b) {
  return compare(b.rank, a.rank) || compare(b.id, a.id);
}
