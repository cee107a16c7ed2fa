/** Deleting a list, and having it back: right away, or from the deleted lists at the side. */

import { attempt } from "./attempts.js";
import { choose } from "./dialogs.js";
import { make, rows, the, toast } from "./dom.js";
import { partsOf } from "./streams.js";
import { when } from "./values.js";

/** @typedef {import("./http.js").Api} Api */
/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./types.js").TaskList} TaskList */
/** @typedef {import("./types.js").Update} Update */
/** @typedef {{onDeleted: (list: TaskList) => Promise<void>, onRestored: (list: TaskList) => Promise<void>}} Told */

const PAGE = 50;
const GATHER_MS = 200;
export class DeletedLists {
  /** @type {TaskList[]} */ #lists = [];
  /** @type {string | null} */ #cursor = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #reading = 0;

  /** @param {Api} api @param {Store} store @param {Told} told */
  constructor(api, store, told) {
    this.api = api;
    this.store = store;
    this.told = told;
    the("more-deleted-lists", HTMLElement).onclick = () => void attempt(() => this.#read(this.#cursor));
    this.#draw();
  }

  close() {
    clearTimeout(this.#timer);
    this.#reading += 1;
  }

  /** Read them anew. */
  reload() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void attempt(() => this.#read(null)), GATHER_MS);
  }

  /** Take an update, before the store does: of lists that were mine to restore. @param {Update} update */
  hear(update) {
    const { stream, type } = update.event;
    if (type !== "list.deleted" && type !== "list.restored") return;
    const list = update.list ?? this.store.lists.get(partsOf(stream).id);
    if (!list || list.members[this.store.me] === "owner") this.reload();
  }

  /** Ask, and delete a list; for a moment that can be undone by a click. @param {TaskList} list */
  async delete(list) {
    const question = `“${list.name}” and its tasks will be hidden from all members until an owner restores it.`;
    const choice = { label: "Delete", value: "delete", kind: /** @type {"danger"} */ ("danger") };
    if (!(await choose("Delete this list?", [question], [choice]))) return;
    await attempt(async () => {
      await this.api.ask("DELETE", `/api/lists/${list.id}`);
      await this.told.onDeleted(list);
      this.reload();
      toast(`“${list.name}” was deleted.`, { action: "Undo", onAction: () => void this.#restore(list) });
    });
  }

  /** @param {TaskList} list */
  async #restore(list) {
    await attempt(async () => {
      const restored = await this.api.ask("POST", `/api/lists/${list.id}/restore`);
      this.reload();
      if (restored.id) await this.told.onRestored(restored);
    });
  }

  /** @param {string | null} cursor */
  async #read(cursor) {
    this.#reading += 1;
    const reading = this.#reading;
    const more = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
    const page = await this.api.ask("GET", `/api/lists?deleted=true&limit=${PAGE}${more}`);
    if (reading !== this.#reading) return;
    this.#lists = cursor ? [...this.#lists, ...page.items] : page.items;
    this.#cursor = page.next_cursor;
    this.#draw();
  }

  #draw() {
    the("deleted-lists", HTMLElement).hidden = this.#lists.length === 0;
    the("more-deleted-lists", HTMLElement).hidden = this.#cursor === null;
    rows(the("deleted-list-rows", HTMLElement), this.#lists, (list) => list.id, (list) => this.#row(list), (row, list) => {
      const name = row.querySelector("span");
      if (name && name.textContent !== list.name) name.textContent = list.name;
    });
  }

  /** @param {TaskList} list */
  #row(list) {
    const restore = make(
      "button",
      { type: "button", class: "quiet", "aria-label": `Restore ${list.name}`, click: () => void this.#restore(list) },
      "Restore",
    );
    const title = list.deleted_at ? `Deleted ${when(list.deleted_at)}` : "";
    return make("li", {}, make("span", { title }, list.name), restore);
  }
}
