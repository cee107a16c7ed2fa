/** The page: signs in, reads a snapshot, follows the log, and draws what the store knows. */

import { Api, ApiError } from "/page/http.js";
import { Detail } from "/page/detail.js";
import { make, rows, the, toast } from "/page/dom.js";
import { Activity } from "/page/activity.js";
import { Live, isAfter } from "/page/live.js";
import { Store } from "/page/store.js";

/** @typedef {import("./types.js").Positions} Positions */
/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").TaskList} TaskList */
/** @typedef {import("./types.js").Update} Update */

const TOKEN_KEY = "tasktape.token";
const LIST_KEY = "tasktape.list";
const PAGE = 200;
const MOST_LISTS = 20;
const RETRY_MS = 2_000;
const GATHER_MS = 50;

/** @type {Workspace | null} */
let workspace = null;
/** Which attempt to sign in is the last one. */
let signing = 0;

class Workspace {
  #store = new Store();
  /** @type {Live | null} */ #live = null;
  /** @type {Update[] | null} what came while a snapshot was being read */ #queue = null;
  #drawing = false;
  #reading = 0;
  #resyncs = 0;
  #stop = new AbortController();

  /** @param {Api} api @param {{user: string, inbox_id: string}} me */
  constructor(api, me) {
    this.api = api;
    this.me = me;
    this.detail = new Detail(api, (task) => this.#edited(task), () => this.#draw());
    this.activity = new Activity({
      api,
      lists: this.#store.lists,
      taskOf: (id) => this.#store.tasks.get(id),
      onTask: (task) => this.detail.open(task),
    });
  }

  async open() {
    the("user", HTMLElement).textContent = this.me.user;
    the("workspace", HTMLElement).hidden = false;
    this.#listen();
    this.#status(false);
    const positions = await this.#firstSnapshot();
    if (!positions) return;
    this.#live = new Live({
      token: this.api.token,
      positions,
      onUpdate: (update) => this.#hear(update),
      onStatus: (live) => this.#status(live),
      onResync: () => void this.#resync(),
      onRefused: (reason) => signOut(`Sign in again: ${reason}.`),
    });
    this.#live.start();
  }

  close() {
    this.#stop.abort();
    this.#live?.stop();
    this.detail.close();
    this.activity.close();
    the("workspace", HTMLElement).hidden = true;
  }

  #listen() {
    const { signal } = this.#stop;
    the("sign-out", HTMLElement).addEventListener("click", () => signOut(), { signal });
    the("new-list", HTMLFormElement).addEventListener("submit", (event) => this.#addList(event), { signal });
    the("new-task", HTMLFormElement).addEventListener("submit", (event) => this.#addTask(event), { signal });
    the("delete-list", HTMLElement).addEventListener("click", () => void this.#deleteList(), { signal });
    the("more", HTMLElement).addEventListener("click", () => void this.#more(), { signal });
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
    const listId = this.#store.lists.has(wanted) ? wanted : this.me.inbox_id;
    return earliest(places, await this.#readTasks(listId));
  }

  /** @returns {Promise<Positions>} */
  async #readLists() {
    /** @type {Positions | null} */
    let place = null;
    let cursor = "";
    for (let page = 0; page < MOST_LISTS; page += 1) {
      const answer = await this.api.ask("GET", `/api/lists?limit=${PAGE}${cursor}`);
      for (const list of answer.items) this.#store.putList(list);
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
    const answer = await this.api.ask("GET", tasksPath(listId, null));
    if (reading !== this.#reading) return answer.positions;
    this.#store.show(listId);
    for (const task of answer.items) this.#store.putTask(task);
    this.#store.cursor = answer.next_cursor;
    const queue = this.#queue ?? [];
    this.#queue = null;
    for (const update of queue) if (isAfter(update.position, answer.positions)) this.#store.apply(update);
    localStorage.setItem(LIST_KEY, listId);
    this.activity.show(listId);
    this.#draw();
    return answer.positions;
  }

  async #more() {
    const { listId, cursor } = this.#store;
    if (!listId || !cursor) return;
    await attempt(async () => {
      const answer = await this.api.ask("GET", tasksPath(listId, cursor));
      if (this.#store.listId !== listId || this.#store.cursor !== cursor) return;
      this.#store.cursor = null; // All that comes now is within reach.
      for (const task of answer.items) this.#store.putTask(task);
      this.#store.cursor = answer.next_cursor;
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
      this.#store.forgetLists();
      const done = await attempt(async () => {
        await this.#readLists();
        await this.#readTasks(this.#store.listId ?? this.me.inbox_id);
        void this.activity.reload();
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
    await attempt(() => this.#readTasks(listId));
  }

  /** @param {Update} update */
  #hear(update) {
    this.#queue?.push(update);
    this.activity.hear(update);
    this.#store.apply(update);
    this.detail.hear(update);
    const isGone = this.#store.listId !== null && !this.#store.lists.has(this.#store.listId);
    if (isGone && this.#queue === null && this.#store.lists.has(this.me.inbox_id)) {
      void this.#choose(this.me.inbox_id);
    }
    this.#draw();
  }

  // --- commands --------------------------------------------------------------------------------------------

  /** @param {SubmitEvent} event */
  #addTask(event) {
    event.preventDefault();
    const input = the("task-title", HTMLInputElement);
    const title = input.value.trim();
    const { listId } = this.#store;
    if (!title || !listId) return;
    input.value = "";
    const correlation = newKey();
    this.#store.drafts.set(correlation, draft(correlation, listId, title));
    this.#draw();
    void attempt(
      async () => {
        const headers = { "X-Correlation-ID": correlation, "Idempotency-Key": correlation };
        const task = await this.api.ask("POST", "/api/tasks", { body: { title, list_id: listId }, headers });
        if (task.id) this.#store.putTask(task);
      },
      () => {
        if (!input.value) input.value = title;
      },
    ).finally(() => {
      this.#store.drafts.delete(correlation);
      this.#draw();
    });
  }

  /** Show a wish as if it were granted, ask for it, and take what comes of it. @param {string} id
   *  @param {Partial<Task> | null} wish @param {() => Promise<any>} ask */
  async #wish(id, wish, ask) {
    this.#store.wishes.set(id, wish);
    this.#draw();
    const granted = await attempt(async () => {
      const task = await ask();
      if (task?.id) this.#store.putTask(task);
      return true;
    });
    if (wish === null && granted) this.#store.tasks.delete(id);
    this.#store.wishes.delete(id);
    this.#draw();
    return granted === true;
  }

  /** @param {Task} task @param {boolean} done */
  async #complete(task, done) {
    const path = `/api/tasks/${task.id}/${done ? "complete" : "reopen"}`;
    await this.#wish(task.id, { status: done ? "done" : "open" }, () => this.api.ask("POST", path));
  }

  /** @param {Task} task */
  async #delete(task) {
    if (this.detail.taskId === task.id) this.detail.close();
    const gone = await this.#wish(task.id, null, () => this.api.ask("DELETE", `/api/tasks/${task.id}`));
    if (gone) {
      toast(`Deleted “${task.title}”.`, { action: "Undo", onAction: () => void this.#restore(task) });
    }
  }

  /** @param {Task} task */
  async #restore(task) {
    await attempt(async () => {
      this.#store.putTask(await this.api.ask("POST", `/api/tasks/${task.id}/restore`));
    });
    this.#draw();
  }

  /** @param {Task} task */
  #edited(task) {
    this.#store.putTask(task);
    this.#draw();
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
        const headers = { "Idempotency-Key": newKey() };
        const list = await this.api.ask("POST", "/api/lists", { body: { name }, headers });
        if (!list.id) return;
        this.#store.putList(list);
        await this.#choose(list.id);
      },
      () => {
        if (!input.value) input.value = name;
      },
    );
  }

  async #deleteList() {
    const list = this.#store.lists.get(this.#store.listId ?? "");
    if (!list || !confirm(`Delete “${list.name}” and its tasks?`)) return;
    await attempt(async () => {
      await this.api.ask("DELETE", `/api/lists/${list.id}`);
      this.#store.lists.delete(list.id);
      await this.#choose(this.me.inbox_id);
    });
  }

  // --- drawing ---------------------------------------------------------------------------------------------

  /** @param {boolean} live */
  #status(live) {
    the("status", HTMLElement).dataset["live"] = String(live);
    the("badge-text", HTMLElement).textContent = live ? "Live" : "Offline";
    the("status-text", HTMLElement).textContent = live ? "Real-time updates enabled" : "Reconnecting…";
  }

  /** Draw with the next frame, however much has changed until then. */
  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      if (this.#stop.signal.aborted) return;
      this.#drawLists();
      this.#drawTasks();
    });
  }

  #drawLists() {
    const build = (/** @type {TaskList} */ list) =>
      make("li", {}, make("button", { type: "button", click: () => void this.#choose(list.id) }));
    rows(the("lists", HTMLElement), this.#store.orderedLists(), (list) => list.id, build, (row, list) => {
      const button = row.firstElementChild;
      if (!(button instanceof HTMLElement)) return;
      if (button.textContent !== list.name) button.textContent = list.name;
      if (list.id === this.#store.listId) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    });
    const list = this.#store.lists.get(this.#store.listId ?? "");
    the("list-title", HTMLElement).textContent = list?.name ?? "";
    the("delete-list", HTMLElement).hidden = !list || list.inbox;
    document.title = list ? `${list.name} · Tasktape` : "Tasktape";
  }

  #drawTasks() {
    const tasks = this.#store.shownTasks();
    rows(the("tasks", HTMLElement), tasks, (task) => task.id, (task) => this.#row(task), (row, task) =>
      this.#refresh(row, task),
    );
    const more = this.#store.cursor !== null;
    const open = tasks.filter((task) => task.status === "open").length;
    the("count", HTMLElement).textContent = tasks.length === 0 ? "" : `${open}${more ? "+" : ""} open`;
    the("empty", HTMLElement).hidden = tasks.length > 0 || this.#store.listId === null;
    the("more", HTMLElement).hidden = !more;
  }

  /** @param {Task} task */
  #row(task) {
    const current = () => this.#store.tasks.get(task.id) ?? task;
    const check = make("input", { type: "checkbox", class: "check" });
    check.addEventListener("change", () => void this.#complete(current(), check.checked));
    return make(
      "li",
      { class: "row" },
      check,
      make("button", { type: "button", class: "title", click: () => this.detail.open(current()) }),
      make("span", { class: "chips" }),
      make("button", { type: "button", class: "quiet icon delete", click: () => void this.#delete(current()) }, "✕"),
    );
  }

  /** @param {HTMLElement} row @param {Task} task */
  #refresh(row, task) {
    const [check, title, chips, remove] = row.children;
    if (!(check instanceof HTMLInputElement) || !title || !chips || !remove) return;
    check.checked = task.status === "done";
    const isDraft = task.version === 0;
    check.disabled = isDraft;
    title.toggleAttribute("disabled", isDraft);
    remove.toggleAttribute("disabled", isDraft);
    check.setAttribute("aria-label", `Done: ${task.title}`);
    remove.setAttribute("aria-label", `Delete ${task.title}`);
    if (title.textContent !== task.title) title.textContent = task.title;
    row.classList.toggle("done", task.status === "done");
    row.classList.toggle("draft", isDraft);
    row.classList.toggle("open", this.detail.taskId === task.id);
    const marks = [
      ...(task.priority === "none" ? [] : [{ text: task.priority, kind: `priority ${task.priority}` }]),
      ...(task.due ? [{ text: dueText(task.due), kind: isLate(task) ? "due late" : "due" }] : []),
      ...(task.stage ? [{ text: task.stage, kind: "stage" }] : []),
    ];
    const signature = JSON.stringify(marks);
    if (row.dataset["marks"] === signature) return;
    row.dataset["marks"] = signature;
    chips.replaceChildren(...marks.map((mark) => make("span", { class: `chip ${mark.kind}` }, mark.text)));
  }
}

/** @param {string} correlation @param {string} listId @param {string} title @returns {Task} */
function draft(correlation, listId, title) {
  const now = new Date().toISOString();
  return {
    id: correlation,
    list_id: listId,
    title,
    notes: "",
    status: "open",
    stage: null,
    priority: "none",
    due: null,
    tags: [],
    assignees: [],
    rank: "~",
    version: 0,
    created_at: now,
    created_by: "",
    updated_at: now,
  };
}

/** @param {string} due */
function dueText(due) {
  const isDate = due.length === 10;
  const moment = new Date(isDate ? `${due}T00:00:00` : due);
  const year = moment.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return moment.toLocaleString(undefined, {
    day: "numeric",
    month: "short",
    year,
    ...(isDate ? {} : { hour: "2-digit", minute: "2-digit" }),
  });
}

/** @param {Task} task */
function isLate(task) {
  if (!task.due || task.status === "done") return false;
  const end = task.due.length === 10 ? new Date(`${task.due}T23:59:59`) : new Date(task.due);
  return end.getTime() < Date.now();
}

/** @param {number} ms */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A key that nobody else has. (`crypto.randomUUID` is missing on addresses that are not secure.) */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
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

/**
 * Do something that may fail; say so if it does.
 *
 * @template T
 * @param {() => Promise<T>} work
 * @param {() => void} [onFailure]
 * @returns {Promise<T | undefined>}
 */
async function attempt(work, onFailure) {
  try {
    return await work();
  } catch (error) {
    onFailure?.();
    if (error instanceof ApiError && error.status === 401) signOut("Sign in again: the token is no longer good.");
    else toast(error instanceof Error ? error.message : String(error), { bad: true });
    return undefined;
  }
}

// --- signing in --------------------------------------------------------------------------------------------

/** @param {string} [reason] */
function signOut(reason) {
  workspace?.close();
  workspace = null;
  localStorage.removeItem(TOKEN_KEY);
  askToken(reason);
}

/** @param {string} [reason] */
function askToken(reason) {
  the("sign-in", HTMLElement).hidden = false;
  const error = the("sign-in-error", HTMLElement);
  error.hidden = !reason;
  error.textContent = reason ?? "";
  the("token", HTMLTextAreaElement).focus();
}

/** @param {string} token */
async function signIn(token) {
  signing += 1;
  const mine = signing;
  const api = new Api(token);
  let me;
  try {
    me = await api.ask("GET", "/api/me");
  } catch (error) {
    if (mine !== signing) return;
    askToken(error instanceof Error ? error.message : String(error));
    if (error instanceof ApiError && error.status === 401) localStorage.removeItem(TOKEN_KEY);
    else setTimeout(() => mine === signing && void signIn(token), RETRY_MS);
    return;
  }
  if (mine !== signing) return;
  localStorage.setItem(TOKEN_KEY, token);
  the("token", HTMLTextAreaElement).value = "";
  the("sign-in", HTMLElement).hidden = true;
  workspace = new Workspace(api, me);
  await attempt(() => /** @type {Workspace} */ (workspace).open());
}

/** The token in the address, which is taken out of it at once: addresses are shown, shared and kept. */
function tokenInAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token !== null) history.replaceState(null, "", location.pathname + location.search);
  return token;
}

function begin() {
  const token = tokenInAddress() ?? localStorage.getItem(TOKEN_KEY);
  if (token) void signIn(token);
  else askToken();
}

the("sign-in-form", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  void signIn(the("token", HTMLTextAreaElement).value.trim());
});
window.addEventListener("hashchange", () => {
  const token = tokenInAddress();
  if (token === null) return;
  workspace?.close();
  workspace = null;
  void signIn(token);
});
begin();
