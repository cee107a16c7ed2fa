/** Who shares a list, as what: shown live, changed by its owners, left by anyone. */

import { avatar } from "./avatars.js";
import { choose } from "./dialogs.js";
import { make, rows, the } from "./dom.js";
import { lineOf } from "./http.js";

/** @typedef {import("./http.js").Api} Api */
/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./types.js").Role} Role */
/** @typedef {import("./types.js").TaskList} TaskList */

/** @type {Record<Role, string>} */
const ROLES = { owner: "Owner", editor: "Can edit", viewer: "Can view" };

export class Members {
  /** @param {Api} api @param {Store} store @param {() => void} onChange */
  constructor(api, store, onChange) {
    this.api = api;
    this.store = store;
    this.onChange = onChange;
    this.box = the("members", HTMLDialogElement);
    the("share", HTMLElement).onclick = () => this.open();
    the("close-members", HTMLElement).onclick = () => this.close();
    the("leave-list", HTMLElement).onclick = () => void this.#leave();
    this.form = the("add-member", HTMLFormElement);
    this.form.onsubmit = (event) => {
      event.preventDefault();
      void this.#add();
    };
    this.box.onclick = (event) => {
      if (event.target === this.box) this.close();
    };
  }

  open() {
    this.#say("");
    this.box.showModal();
    this.draw();
  }

  close() {
    this.box.close();
  }

  draw() {
    if (!this.box.open) return;
    const { list } = this.store;
    if (!list || list.inbox) {
      this.close();
      return;
    }
    const isOwner = list.members[this.store.me] === "owner";
    the("members-title", HTMLElement).textContent = `Share “${list.name}”`;
    this.form.hidden = !isOwner;
    const people = Object.entries(list.members).sort(([a], [b]) => a.localeCompare(b));
    rows(the("member-rows", HTMLElement), people, ([user]) => user, ([user]) => this.#row(user), (row, [user, role]) => {
      const select = row.querySelector("select");
      const remove = row.querySelector("button");
      if (!select || !remove) return;
      select.value = role;
      select.disabled = !isOwner;
      remove.hidden = !isOwner || user === this.store.me;
    });
  }

  /** @param {string} user */
  #row(user) {
    const select = roleSelect(`Role of ${user}`, ["owner", "editor", "viewer"]);
    select.onchange = () => void this.#set(user, select.value);
    const name = make("span", { class: "member-name" }, user, ...(user === this.store.me ? [make("span", { class: "muted" }, " (you)")] : []));
    const remove = make(
      "button",
      { type: "button", class: "quiet icon", "aria-label": `Remove ${user}`, click: () => void this.#remove(user) },
      "✕",
    );
    return make("li", { class: "member" }, avatar(user), name, select, remove);
  }

  async #add() {
    const name = the("member-name", HTMLInputElement);
    const user = name.value.trim();
    if (!user) return;
    if (this.store.list?.members[user]) {
      this.#say(`${user} is a member already.`);
      return;
    }
    if (await this.#set(user, the("member-role", HTMLSelectElement).value)) {
      name.value = "";
      name.focus();
    }
  }

  /** @param {string} user @param {string} role */
  async #set(user, role) {
    return await this.#attempt(async (list) => {
      const answer = await this.api.ask("PUT", `${list}/members/${encodeURIComponent(user)}`, { body: { role } });
      if (answer?.id) this.store.putList(answer);
    });
  }

  /** @param {string} user */
  async #remove(user) {
    await this.#attempt((list) => this.api.ask("DELETE", `${list}/members/${encodeURIComponent(user)}`));
  }

  async #leave() {
    const name = this.store.list?.name ?? "";
    const answer = await choose("Leave this list?", [`You will no longer see “${name}”.`], [
      { label: "Leave", value: "leave", kind: "danger" },
    ]);
    if (answer === null) return;
    if (await this.#attempt((list) => this.api.ask("POST", `${list}/leave`))) this.close();
  }

  /** @param {(listPath: string) => Promise<unknown>} work */
  async #attempt(work) {
    this.#say("");
    try {
      await work(`/api/lists/${this.store.listId}`);
      return true;
    } catch (error) {
      this.#say(lineOf(error));
      return false;
    } finally {
      this.draw();
      this.onChange();
    }
  }

  /** @param {string} text */
  #say(text) {
    const error = the("members-error", HTMLElement);
    error.hidden = text === "";
    error.textContent = text;
  }
}

/** @param {string} label @param {Role[]} roles */
function roleSelect(label, roles) {
  return make("select", { "aria-label": label }, ...roles.map((role) => make("option", { value: role }, ROLES[role])));
}
