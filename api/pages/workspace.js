/** What is open once one has signed in: reads a snapshot, follows the log, and draws what the store knows. */

import { Activity } from "./activity.js";
import { attempt, pause } from "./attempts.js";
import { Commands } from "./commands.js";
import { Detail } from "./detail.js";
import { DeletedLists } from "./deleted_lists.js";
import { the } from "./dom.js";
import { ListsPane } from "./lists_pane.js";
import { Live, isAfter } from "./live.js";
import { Members } from "./members.js";
import { Notifications } from "./notifications.js";
import { Order } from "./order.js";
import { QuickAdd } from "./quick_add.js";
import { Search } from "./search.js";
import { Store } from "./store.js";
import { TaskRows } from "./task_rows.js";
import { Undo } from "./undo.js";

/** @typedef {import("./http.js").Api} Api */
/** @typedef {import("./types.js").Positions} Positions */
/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").Update} Update */

const LIST_KEY = "tasktape.list";
const PAGE = 200;
const MOST_LISTS = 20;
const RETRY_MS = 2_000;
const GATHER_MS = 50;
/** So many tasks may come beyond those that were read; then the list is read anew, from the top. */
const MOST_NEWS = 500;
/** So many times as long as it took to draw is left for other things, before drawing again. */
const REST = 4;
/** What is filled with rows: they belong to who is signed in. */
const FILLED = ["lists", "deleted-list-rows", "tasks", "results", "notification-rows", "member-rows", "sub-tasks", "comments", "activity-feed"];

export class Workspace {
  /** @type {Live | null} */ #live = null;
  /** @type {Update[] | null} what came while a snapshot was being read */ #queue = null;
  #drawing = false;
  #reading = 0;
  #resyncs = 0;
  #room = 0;
  #restUntil = 0;
  #stop = new AbortController();

  /** @param {Api} api @param {{user: string, inbox_id: string, unread: number}} me @param {(reason?: string) => void} signOut */
  constructor(api, me, signOut) {
    this.api = api;
    this.me = me;
    this.signOut = signOut;
    const draw = () => this.#draw();
    const put = (/** @type {Task} */ task) => {
      this.store.putTask(task);
      draw();
    };
    const openTask = (/** @type {string} */ id) => void this.#openTask(id);
    this.store = new Store(me.user);
    this.undo = new Undo(api, put);
    this.commands = new Commands({ api, store: this.store, undo: this.undo, onChange: draw });
    this.detail = new Detail({ api, store: this.store, commands: this.commands, undo: this.undo, onChange: draw });
    this.activity = new Activity({ api, lists: this.store.lists, taskOf: (id) => this.store.tasks.get(id), openTask });
    this.search = new Search({ api, store: this.store, openTask });
    this.notifications = new Notifications({ api, me: me.user, openTask, openList: (id) => void this.#choose(id) });
    this.members = new Members(api, this.store, draw);
    this.deletedLists = new DeletedLists(api, this.store, {
      onDeleted: (list) => this.#leave(list),
      onRestored: (list) => this.#enter(list),
    });
    this.quickAdd = new QuickAdd({ api, listId: () => this.store.listId, signal: this.#stop.signal });
    this.pane = new ListsPane(this.store, (listId) => void this.#choose(listId));
    this.tasks = new TaskRows({
      store: this.store,
      commands: this.commands,
      order: new Order(this.store, this.commands),
      openId: () => this.detail.taskId,
      onOpen: (task) => this.detail.open(task),
    });
  }

  async open() {
    the("user", HTMLElement).textContent = this.me.user;
    the("workspace", HTMLElement).hidden = false;
    this.notifications.count(this.me.unread);
    this.#listen();
    this.#status(false);
    const positions = await this.#firstSnapshot();
    if (!positions) return;
    this.deletedLists.reload();
    this.#live = new Live({
      token: this.api.token,
      positions,
      onUpdate: (update) => this.#hear(update),
      onStatus: (live) => this.#status(live),
      onResync: () => void this.#resync(),
      onRefused: (reason) => this.signOut(`Sign in again: ${reason}.`),
    });
    this.#live.start();
  }

  close() {
    this.#stop.abort();
    this.#live?.stop();
    this.detail.close();
    this.activity.close();
    this.members.close();
    this.deletedLists.close();
    this.notifications.close();
    this.search.clear();
    for (const id of FILLED) the(id, HTMLElement).replaceChildren();
    the("workspace", HTMLElement).hidden = true;
  }

  #listen() {
    const { signal } = this.#stop;
    the("sign-out", HTMLElement).addEventListener("click", () => this.signOut(), { signal });
    the("new-list", HTMLFormElement).addEventListener("submit", (event) => this.#addList(event), { signal });
    the("new-task", HTMLFormElement).addEventListener("submit", (event) => this.#addTask(event), { signal });
    the("delete-list", HTMLElement).addEventListener("click", () => this.store.list && void this.deletedLists.delete(this.store.list), { signal });
    the("more", HTMLElement).addEventListener("click", () => void this.#more(), { signal });
    document.addEventListener("keydown", (event) => (this.undo.key(event), this.search.key(event)), { signal });
  }

  // --- reading ---------------------------------------------------------------------------------------------

  /** Read a snapshot, however long the server takes to be there. @returns {Promise<Positions | null>} */
  async #firstSnapshot() {
    for (let wait_ms = 500; !this.#stop.signal.aborted; wait_ms = Math.min(wait_ms * 2, 8_000)) {
      const positions = await attempt(() => this.#snapshot());
      if (positions) return positions;
      await pause(wait_ms);
    }
    return null;
  }

  /** Read the lists and the tasks of one; returns the place from which to follow. @returns {Promise<Positions>} */
  async #snapshot() {
    const places = await this.#readLists();
    const wanted = localStorage.getItem(LIST_KEY) ?? "";
    const listId = this.store.lists.has(wanted) ? wanted : this.me.inbox_id;
    return earliest(places, await this.#readTasks(listId));
  }

  /** @returns {Promise<Positions>} */
  async #readLists() {
    /** @type {Positions | null} */
    let place = null;
    let cursor = "";
    for (let page = 0; page < MOST_LISTS; page += 1) {
      const answer = await this.api.ask("GET", `/api/lists?limit=${PAGE}${cursor}`);
      for (const list of answer.items) this.store.putList(list);
      place = place ? earliest(place, answer.positions) : answer.positions;
      if (!answer.next_cursor) break;
      cursor = `&cursor=${encodeURIComponent(answer.next_cursor)}`;
    }
    return place ?? {};
  }

  /** Read a list's first tasks, and join them with what came meanwhile. @param {string} listId */
  async #readTasks(listId) {
    this.#reading += 1;
    const reading = this.#reading;
    this.#queue = [];
    const answer = await this.api.ask("GET", tasksPath(listId, null)).catch((error) => {
      if (reading === this.#reading) this.#queue = null;
      throw error;
    });
    if (reading !== this.#reading) return answer.positions;
    this.store.show(listId);
    for (const task of answer.items) this.store.putTask(task);
    this.store.cursor = answer.next_cursor;
    this.#room = this.store.tasks.size + MOST_NEWS;
    const queue = this.#queue ?? [];
    this.#queue = null;
    for (const update of queue) if (isAfter(update.position, answer.positions)) this.store.apply(update);
    localStorage.setItem(LIST_KEY, listId);
    this.activity.show(listId);
    this.#draw();
    return answer.positions;
  }

  async #more() {
    const { listId, cursor } = this.store;
    if (!listId || !cursor) return;
    await attempt(async () => {
      const answer = await this.api.ask("GET", tasksPath(listId, cursor));
      if (this.store.listId !== listId || this.store.cursor !== cursor) return;
      this.store.cursor = null; // All that comes now is within reach.
      for (const task of answer.items) this.store.putTask(task);
      this.store.cursor = answer.next_cursor;
      this.#room = this.store.tasks.size + MOST_NEWS;
      this.#draw();
    });
  }

  /** Read a snapshot again: once for all channels that ask for it, and again for who asks meanwhile. */
  async #resync() {
    this.#resyncs += 1;
    if (this.#resyncs > 1) return;
    while (this.#resyncs > 0 && !this.#stop.signal.aborted) {
      await pause(GATHER_MS);
      const asked = this.#resyncs;
      this.store.forgetLists();
      const done = await attempt(async () => {
        await this.#readLists();
        await this.#readTasks(this.store.listId ?? this.me.inbox_id);
        void this.activity.reload();
        this.notifications.reload();
        this.search.hear();
        this.deletedLists.reload();
        return true;
      });
      // One of them stands for whatever comes while this goes on.
      if (done) this.#resyncs = this.#resyncs > asked ? 1 : 0;
      else await pause(RETRY_MS);
    }
  }

  /** @param {string} listId */
  async #choose(listId) {
    this.detail.close();
    this.search.clear();
    await attempt(() => this.#readTasks(listId));
  }

  /** Show a task with its list, wherever it is. @param {string} id */
  async #openTask(id) {
    const here = this.store.task(id);
    if (here) {
      this.detail.open(here);
      return;
    }
    await attempt(async () => {
      const task = await this.api.ask("GET", `/api/tasks/${id}`);
      const isElsewhere = task.list_id !== this.store.listId && this.store.lists.has(task.list_id);
      if (isElsewhere && !this.search.text) await this.#choose(task.list_id);
      this.detail.open(task);
    });
  }

  /** @param {Update} update */
  #hear(update) {
    this.#queue?.push(update);
    this.activity.hear(update);
    this.deletedLists.hear(update);
    this.store.apply(update);
    this.detail.hear(update);
    this.search.hear();
    this.notifications.hear(update);
    const isGone = this.store.listId !== null && !this.store.lists.has(this.store.listId);
    if (isGone && this.#queue === null && this.store.lists.has(this.me.inbox_id)) {
      void this.#choose(this.me.inbox_id);
    } else if (this.#queue === null && this.store.listId !== null && this.store.tasks.size > this.#room) {
      const { listId } = this.store;
      void attempt(() => this.#readTasks(listId));
    }
    this.#draw();
  }

  // --- commands --------------------------------------------------------------------------------------------

  /** @param {SubmitEvent} event */
  #addTask(event) {
    event.preventDefault();
    const text = this.quickAdd.take();
    if (text) void this.commands.quickAdd(text, () => this.quickAdd.giveBack(text));
  }

  /** @param {SubmitEvent} event */
  #addList(event) {
    event.preventDefault();
    const input = the("list-name", HTMLInputElement);
    const name = input.value.trim();
    if (!name) return;
    input.value = "";
    void attempt(
      async () => {
        const list = await this.api.ask("POST", "/api/lists", { body: { name } });
        if (list.id) await this.#enter(list);
      },
      () => {
        if (!input.value) input.value = name;
      },
    );
  }

  /** Take a list that is there from now on, and show it. @param {import("./types.js").TaskList} list */
  async #enter(list) {
    this.store.putList(list);
    await this.#choose(list.id);
  }

  /** Forget a list that is gone. @param {import("./types.js").TaskList} list */
  async #leave(list) {
    this.store.lists.delete(list.id);
    if (this.store.listId === list.id) await this.#choose(this.me.inbox_id);
  }

  // --- drawing ---------------------------------------------------------------------------------------------

  /** @param {boolean} live */
  #status(live) {
    the("status", HTMLElement).dataset["live"] = String(live);
    the("badge-text", HTMLElement).textContent = live ? "Live" : "Offline";
    the("status-text", HTMLElement).textContent = live ? "Real-time updates enabled" : "Reconnecting…";
  }

  /** Draw with the next frame, however much has changed until then; later, if drawing takes long. */
  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    const wait_ms = this.#restUntil - performance.now();
    if (wait_ms > 0) setTimeout(() => requestAnimationFrame(() => this.#drawNow()), wait_ms);
    else requestAnimationFrame(() => this.#drawNow());
  }

  #drawNow() {
    this.#drawing = false;
    if (this.#stop.signal.aborted) return;
    const begun = performance.now();
    this.pane.draw();
    this.tasks.draw();
    this.members.draw();
    this.detail.draw();
    const now = performance.now();
    this.#restUntil = now + (now - begun) * REST;
  }
}

/** @param {string} listId @param {string | null} cursor */
function tasksPath(listId, cursor) {
  const more = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
  return `/api/tasks?list_id=${encodeURIComponent(listId)}&sort=-rank&limit=${PAGE}${more}`;
}

/** What both of two snapshots include. @param {Positions} one @param {Positions} other @returns {Positions} */
function earliest(one, other) {
  /** @type {Positions} */
  const both = {};
  for (const [partition, offset] of Object.entries(one)) {
    const offset2 = other[partition];
    if (offset2 !== undefined) both[partition] = Math.min(offset, offset2);
  }
  return both;
}
