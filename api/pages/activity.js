/** The activity panel: what happened in a list or in all of them, as lines that grow live. */

import { activityOf, append, groupKey, join } from "./activity_groups.js";
import { make, rows, the, toast } from "./dom.js";
import { isAfter } from "./live.js";
import { avatar } from "./avatars.js";
import { partsOf } from "./streams.js";

/** @typedef {import("./http.js").Api} Api */
/** @typedef {import("./types.js").ActivityEvent} ActivityEvent */
/** @typedef {import("./types.js").ActivityGroup} ActivityGroup */
/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").TaskList} TaskList */
/** @typedef {import("./types.js").Update} Update */
/** @typedef {import("./activity_groups.js").Phrases} Phrases */
/** @typedef {{key: string, day: string} | {key: string, group: ActivityGroup}} Line */

const PAGE = 30;
const MOST_HEARD = 20_000;
const NOBODYS = new Set(["task.recurred", "task.withdrawn"]);
const DAY_MS = 86_400_000;

export class Activity {
  /** @type {ActivityGroup[]} */ #groups = [];
  /** @type {Update[] | null} what came while the feed was being read */ #queue = null;
  /** @type {string | null} */ #cursor = null;
  /** @type {string | null} */ #listId = null;
  /** @type {Phrases} */ #phrases = {};
  /** @type {import("./types.js").Positions} */ #positions = {};
  /** @type {Set<string>} positions that came live: what was missed may come twice */ #heard = new Set();
  #reading = 0;
  #drawing = false;

  /**
   * @param {Object} options
   * @param {Api} options.api
   * @param {Map<string, TaskList>} options.lists those that are the reader's
   * @param {(id: string) => Task | undefined} options.taskOf
   * @param {(id: string) => void} options.openTask show a task
   */
  constructor(options) {
    this.options = options;
    this.panel = the("activity", HTMLElement);
    this.button = the("show-activity", HTMLElement);
    this.everywhere = the("activity-everywhere", HTMLInputElement);
    this.button.onclick = () => (this.panel.hidden ? this.open() : this.close());
    the("close-activity", HTMLElement).onclick = () => this.close();
    the("more-activity", HTMLElement).onclick = () => void this.#more();
    this.everywhere.onchange = () => void this.reload();
    this.panel.onkeydown = (event) => {
      if (event.key === "Escape") this.close();
    };
  }

  open() {
    this.panel.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    void this.reload();
  }

  close() {
    this.panel.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    this.#reading += 1;
    this.#groups = [];
  }

  /** Another list is shown. @param {string} listId */
  show(listId) {
    if (this.#listId === listId) return;
    this.#listId = listId;
    if (!this.everywhere.checked) void this.reload();
  }

  /** Read the feed from its beginning, and join it with what came meanwhile. */
  async reload() {
    if (this.panel.hidden) return;
    this.#reading += 1;
    const reading = this.#reading;
    this.#queue = [];
    try {
      if (Object.keys(this.#phrases).length === 0) {
        this.#phrases = await this.options.api.ask("GET", new URL("./phrases.json", import.meta.url).pathname);
      }
      const page = await this.options.api.ask("GET", this.#path(null));
      if (reading !== this.#reading) return;
      this.#groups = page.items;
      this.#cursor = page.next_cursor;
      const queue = this.#queue ?? [];
      this.#queue = null;
      this.#positions = page.positions;
      this.#heard.clear();
      for (const update of queue) this.#take(update);
      this.#draw();
    } catch (error) {
      if (reading === this.#reading) toast(error instanceof Error ? error.message : String(error), { bad: true });
    }
  }

  /** Take news, before the page forgets what is gone. @param {Update} update */
  hear(update) {
    if (this.panel.hidden) return;
    if (this.#queue) this.#queue.push(update);
    else this.#take(update);
  }

  async #more() {
    const reading = this.#reading;
    const cursor = this.#cursor;
    if (!cursor) return;
    try {
      const page = await this.options.api.ask("GET", this.#path(cursor));
      if (reading !== this.#reading || this.#cursor !== cursor) return;
      append(this.#groups, page.items, this.#phrases);
      this.#cursor = page.next_cursor;
      this.#draw();
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), { bad: true });
    }
  }

  /** @param {string | null} cursor */
  #path(cursor) {
    const list = this.everywhere.checked || !this.#listId ? "" : `&list_id=${encodeURIComponent(this.#listId)}`;
    const more = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
    return `/api/activity?limit=${PAGE}${list}${more}`;
  }

  /** @param {Update} update */
  #take(update) {
    if (!isAfter(update.position, this.#positions) || this.#heard.has(update.position)) return;
    if (this.#heard.size === MOST_HEARD) {
      void this.reload();
      return;
    }
    this.#heard.add(update.position);
    const { kind, id } = partsOf(update.event.stream);
    const known = kind === "task" && !update.task ? this.#known(id, update.channel) : undefined;
    const activity = activityOf(update, (listId) => this.#isShown(listId), known);
    if (activity === null) return;
    join(this.#groups, activity, this.#phrases);
    this.#draw();
  }

  /** @param {string} listId */
  #isShown(listId) {
    return this.everywhere.checked ? this.options.lists.has(listId) : listId === this.#listId;
  }

  /** What is known of a task that is gone. @param {string} id @param {string} channel */
  #known(id, channel) {
    const task = this.options.taskOf(id);
    const events = this.#groups.flatMap((group) => group.events);
    const title = task?.title ?? events.find((event) => event.task_id === id)?.title ?? "a task";
    const shown = partsOf(channel);
    const list_id = task?.list_id ?? (shown.kind === "list" ? shown.id : (this.#listId ?? ""));
    return { title, list_id };
  }

  // --- drawing ---------------------------------------------------------------------------------------------

  /** Draw with the next frame, however much has changed until then. */
  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      if (this.panel.hidden) return;
      rows(the("activity-feed", HTMLElement), this.#lines(), (line) => line.key, build, (row, line) => {
        if ("group" in line) this.#refresh(row, line.group);
      });
      the("no-activity", HTMLElement).hidden = this.#groups.length > 0;
      the("more-activity", HTMLElement).hidden = this.#cursor === null;
    });
  }

  /** The groups, with a heading for each day. @returns {Line[]} */
  #lines() {
    /** @type {Line[]} */
    const lines = [];
    let last = "";
    for (const group of this.#groups) {
      const day = dayOf(group.last_at);
      if (day !== last) lines.push({ key: `day ${day}`, day });
      last = day;
      lines.push({ key: groupKey(group), group });
    }
    return lines;
  }

  /** @param {HTMLElement} row @param {ActivityGroup} group */
  #refresh(row, group) {
    const place = this.everywhere.checked ? (this.options.lists.get(group.list_id)?.name ?? "") : "";
    const signature = JSON.stringify([group.summary, group.count, group.events[0]?.position, place]);
    if (row.dataset["signature"] === signature) return;
    row.classList.toggle("fresh", row.dataset["signature"] !== undefined);
    row.dataset["signature"] = signature;
    const [, text] = row.children;
    const isOpen = text?.querySelector("details")?.open ?? false;
    text?.replaceChildren(
      this.#told(group),
      ...hint(group),
      make(
        "p",
        { class: "muted" },
        make("time", { datetime: group.last_at, title: group.last_at }, clock(group)),
        place ? ` · ${place}` : "",
      ),
      ...this.#details(group, isOpen),
    );
  }

  /** The newest events of a group of several, one below the other. @param {ActivityGroup} group @param {boolean} open */
  #details(group, open) {
    const titles = new Map(group.events.map((event) => [event.task_id ?? event.id, event]));
    if (group.task_count < 2) return [];
    const rest = group.task_count - titles.size;
    const items = [...titles.values()].map((event) => make("li", {}, this.#link(event, [event.title])));
    if (rest > 0) items.push(make("li", { class: "muted" }, `and ${rest.toLocaleString()} more`));
    return [make("details", { open }, make("summary", { class: "muted" }, "Show which"), make("ul", {}, ...items))];
  }

  /** The line, with who did it in bold; that of one task leads to it. @param {ActivityGroup} group */
  #told({ actor, summary, task_count, events: [newest] }) {
    const text = summary.startsWith(actor) ? [make("b", {}, actor), summary.slice(actor.length)] : [summary];
    return newest && task_count === 1 ? this.#link(newest, text) : make("p", {}, ...text);
  }

  /** @param {ActivityEvent} event @param {(Node | string)[]} text */
  #link(event, text) {
    const { task_id } = event;
    if (task_id === null) return make("p", {}, ...text);
    return make("button", { type: "button", class: "link", click: () => this.options.openTask(task_id) }, ...text);
  }
}

/** @param {Line} line */
function build(line) {
  if (!("group" in line)) return make("li", { class: "day label" }, line.day);
  const { actor, type } = line.group;
  return make("li", { class: "activity-line" }, avatar(actor, NOBODYS.has(type) ? "↻" : undefined), make("div", {}));
}

/** What was said, or which fields of the one task were edited. @param {ActivityGroup} group */
function hint({ type, task_count, events }) {
  if (task_count !== 1) return [];
  const fields = new Set(events.flatMap((event) => Object.keys(event.changes)));
  const names = [...fields].map((name) => name.replaceAll("_", " "));
  const text = type === "task.edited" ? names.join(", ") : String(events[0]?.data["text"] ?? "");
  return text ? [make("p", { class: "muted hint" }, text)] : [];
}

/** From when to when. @param {ActivityGroup} group */
function clock(group) {
  const [first, last] = [timeOf(group.first_at), timeOf(group.last_at)];
  return first === last ? last : `${first} – ${last}`;
}

/** @param {string} at */
function timeOf(at) {
  return new Date(at).toLocaleTimeString(undefined, { timeStyle: "short" });
}

/** @param {string} at */
function dayOf(at) {
  const day = new Date(at).toDateString();
  if (day === new Date().toDateString()) return "Today";
  if (day === new Date(Date.now() - DAY_MS).toDateString()) return "Yesterday";
  return new Date(at).toLocaleDateString(undefined, { dateStyle: "full" });
}
