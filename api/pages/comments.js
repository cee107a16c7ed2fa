/** What people say about a task, as they say it. */

import { attempt } from "./attempts.js";
import { avatar } from "./avatars.js";
import { make, rows, the } from "./dom.js";
import { when } from "./values.js";

/** @typedef {import("./http.js").Api} Api */
/** @typedef {import("./types.js").Comment} Comment */
/** @typedef {import("./types.js").TaskEvent} TaskEvent */
/** @typedef {import("./types.js").TaskList} TaskList */

const PAGE = 100;

export class Comments {
  /** @type {string | null} */ #taskId = null;
  /** @type {Map<string, Comment>} */ #comments = new Map();
  /** @type {TaskEvent[] | null} what came while they were being read */ #queue = null;
  /** @type {string | null} */ #cursor = null;
  /** @type {TaskList | undefined} */ #list;

  /** @param {Api} api @param {string} me */
  constructor(api, me) {
    this.api = api;
    this.me = me;
    this.form = the("new-comment", HTMLFormElement);
    this.text = the("comment-text", HTMLTextAreaElement);
    this.form.onsubmit = (event) => {
      event.preventDefault();
      void this.#say();
    };
    this.text.onkeydown = (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    };
    the("more-comments", HTMLElement).onclick = () => void this.#read(this.#cursor);
  }

  /** @param {string | null} taskId */
  show(taskId) {
    this.#taskId = taskId;
    this.#comments.clear();
    this.#cursor = null;
    this.text.value = "";
    this.#drawRows();
    if (taskId !== null) void this.#read(null);
  }

  /** @param {TaskList | undefined} list @param {boolean} editable */
  draw(list, editable) {
    this.form.hidden = !editable;
    if (this.#list === list) return;
    this.#list = list;
    this.#drawRows();
  }

  /** Take news of the task. @param {TaskEvent} event */
  hear(event) {
    this.#queue?.push(event);
    this.#take(event);
    this.#drawRows();
  }

  /** @param {TaskEvent} event */
  #take(event) {
    const id = String(event.data["comment_id"] ?? "");
    const text = String(event.data["text"] ?? "");
    const known = this.#comments.get(id);
    if (event.type === "task.commented" && !known) {
      this.#comments.set(id, { id, author: event.actor, text, created_at: event.time, edited_at: null });
    } else if (event.type === "task.comment_edited" && known) {
      this.#comments.set(id, { ...known, text, edited_at: event.time });
    } else if (event.type === "task.comment_deleted") {
      this.#comments.delete(id);
    }
  }

  /** @param {string | null} cursor */
  async #read(cursor) {
    const id = this.#taskId;
    this.#queue = [];
    await attempt(async () => {
      const more = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
      const page = await this.api.ask("GET", `/api/tasks/${id}/comments?limit=${PAGE}${more}`);
      if (this.#taskId !== id) return;
      for (const comment of page.items) this.#comments.set(comment.id, comment);
      this.#cursor = page.next_cursor;
      for (const event of this.#queue ?? []) this.#take(event);
    });
    if (this.#taskId !== id) return;
    this.#queue = null;
    this.#drawRows();
  }

  async #say() {
    const text = this.text.value.trim();
    const id = this.#taskId;
    if (!text || id === null) return;
    this.text.value = "";
    await attempt(
      async () => {
        await this.api.ask("POST", `/api/tasks/${id}/comments`, { body: { text } });
        if (this.#taskId === id) await this.#read(this.#cursor);
      },
      () => {
        if (!this.text.value) this.text.value = text;
      },
    );
  }

  /** @param {Comment} comment */
  async #delete(comment) {
    await attempt(() => this.api.ask("DELETE", `/api/tasks/${this.#taskId}/comments/${comment.id}`));
  }

  /** @param {HTMLElement} row @param {Comment} comment */
  #edit(row, comment) {
    const field = make("textarea", { "aria-label": "Text of the comment", rows: "3" }, comment.text);
    const done = () => {
      row.lastElementChild?.replaceChildren();
      delete row.dataset["text"];
      this.#drawRows();
    };
    const save = () =>
      void attempt(async () => {
        const text = field.value.trim();
        if (text && text !== comment.text) {
          await this.api.ask("PATCH", `/api/tasks/${this.#taskId}/comments/${comment.id}`, { body: { text } });
          const known = this.#comments.get(comment.id);
          if (known) this.#comments.set(comment.id, { ...known, text });
        }
        done();
      });
    field.onkeydown = (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
      if (event.key !== "Escape") return;
      event.stopPropagation();
      done();
    };
    row.lastElementChild?.replaceChildren(
      field,
      make("button", { type: "button", class: "link", click: save }, "Save comment"),
      make("button", { type: "button", class: "link muted", click: done }, "Cancel"),
    );
    field.focus();
  }

  // --- drawing ---------------------------------------------------------------------------------------------

  #drawRows() {
    const comments = [...this.#comments.values()].sort((a, b) => (a.created_at < b.created_at ? -1 : 1));
    rows(
      the("comments", HTMLElement),
      comments,
      ({ id }) => id,
      ({ author }) => make("li", { class: "comment" }, avatar(author), make("div", {})),
      (row, comment) => this.#refresh(row, comment),
    );
    the("more-comments", HTMLElement).hidden = this.#cursor === null;
  }

  /** @param {HTMLElement} row @param {Comment} comment */
  #refresh(row, comment) {
    const role = this.#list?.members[this.me];
    const isMine = comment.author === this.me && role !== "viewer";
    const signature = JSON.stringify([comment.text, comment.edited_at, role]);
    if (row.dataset["text"] === signature || row.querySelector("textarea")) return;
    row.dataset["text"] = signature;
    const link = (/** @type {string} */ label, /** @type {() => void} */ click) =>
      make("button", { type: "button", class: "link muted", click }, label);
    row.lastElementChild?.replaceChildren(
      make("b", {}, comment.author),
      make("time", { class: "muted", datetime: comment.created_at }, ` ${when(comment.created_at)}${comment.edited_at ? " (edited)" : ""}`),
      make("p", { class: "said" }, ...marked(comment.text, Object.keys(this.#list?.members ?? {}))),
      ...(isMine ? [link("Edit", () => this.#edit(row, comment))] : []),
      ...(isMine || role === "owner" ? [link("Delete", () => void this.#delete(comment))] : []),
    );
  }
}

/** A text, with those whom it mentions in bold. @param {string} text @param {string[]} members */
function marked(text, members) {
  /** @type {(Node | string)[]} */
  const parts = [];
  let rest = text;
  const longest = [...members].sort((a, b) => b.length - a.length);
  for (let at = rest.indexOf("@"), from = 0; at >= 0; at = rest.indexOf("@", from)) {
    const name = longest.find((each) => rest.startsWith(each, at + 1));
    from = at + 1;
    if (!name) continue;
    parts.push(rest.slice(0, at), make("b", { class: "mention" }, `@${name}`));
    rest = rest.slice(at + 1 + name.length);
    from = 0;
  }
  return [...parts, rest];
}
