/** The lists at the side, and the head of the one that is shown. */

import { avatar } from "./avatars.js";
import { make, rows, the } from "./dom.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./types.js").TaskList} TaskList */

const MOST_FACES = 4;

export class ListsPane {
  #faces = "";

  /** @param {Store} store @param {(listId: string) => void} onChoose */
  constructor(store, onChoose) {
    this.store = store;
    this.onChoose = onChoose;
  }

  draw() {
    const build = (/** @type {TaskList} */ list) =>
      make(
        "li",
        {},
        make("button", { type: "button", click: () => this.onChoose(list.id) }, make("span"), make("small", { "aria-hidden": "true" })),
      );
    rows(the("lists", HTMLElement), this.store.orderedLists(), (list) => list.id, build, (row, list) => this.#refresh(row, list));
    this.#drawHead(this.store.list);
  }

  /** @param {HTMLElement} row @param {TaskList} list */
  #refresh(row, list) {
    const button = row.firstElementChild;
    const [name, members] = button?.children ?? [];
    if (!button || !name || !members) return;
    const people = Object.keys(list.members).length;
    if (name.textContent !== list.name) name.textContent = list.name;
    const text = people > 1 ? String(people) : "";
    if (members.textContent !== text) members.textContent = text;
    if (list.id === this.store.listId) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }

  /** @param {TaskList | undefined} list */
  #drawHead(list) {
    const role = list?.members[this.store.me];
    the("list-title", HTMLElement).textContent = list?.name ?? "";
    the("view-only", HTMLElement).hidden = role !== "viewer";
    the("delete-list", HTMLElement).hidden = role !== "owner" || list?.inbox === true;
    the("share", HTMLElement).hidden = !list || list.inbox;
    document.title = list ? `${list.name} · Tasktape` : "Tasktape";
    const names = list ? Object.keys(list.members).sort() : [];
    const signature = JSON.stringify(names);
    if (signature === this.#faces) return;
    this.#faces = signature;
    const rest = names.length - MOST_FACES;
    the("faces", HTMLElement).replaceChildren(
      ...(names.length > 1 ? names.slice(0, MOST_FACES).map((name) => avatar(name)) : []),
      ...(rest > 0 ? [make("small", { class: "muted" }, `+${rest}`)] : []),
    );
  }
}
