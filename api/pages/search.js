/** The search box: what it finds in all lists, kept up to date while it is shown. */

import { make, rows, the } from "./dom.js";
import { ApiError, lineOf } from "./http.js";
import { marksOf } from "./task_rows.js";
import { isTyping } from "./undo.js";
import { timeZone } from "./values.js";

/** @typedef {import("./http.js").Api} Api */
/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./types.js").Task} Task */
/** @typedef {{message: string, at?: number, length?: number}} Wrong */
/** @typedef {Task & {match?: {field: "title" | "notes" | "comment", snippet: string} | null}} Found */

const PAGE = 50;
const MOST = 200;
const TYPING_MS = 180;
const NEWS_MS = 600;

export class Search {
  /** @type {Found[]} */ #found = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {string | null} */ #cursor = null;
  /** @type {string | null} of the days that a search names; null is UTC */ #zone = timeZone();
  #asked = 0;
  #askedFor = "";

  /** @param {{api: Api, store: Store, openTask: (id: string) => void}} options */
  constructor(options) {
    this.options = options;
    this.box = the("search", HTMLInputElement);
    this.results = the("results", HTMLElement);
    this.box.form?.addEventListener("submit", (event) => event.preventDefault());
    this.box.oninput = () => this.#later(TYPING_MS);
    this.box.onkeydown = (event) => this.#keyInBox(event);
    this.results.onkeydown = (event) => this.#keyInResults(event);
    the("more-results", HTMLElement).onclick = () => void this.#ask(this.#cursor);
  }

  get text() {
    return this.box.value.trim();
  }

  /** A slash goes to the box, but for where text is typed. @param {KeyboardEvent} event */
  key(event) {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    event.preventDefault();
    this.box.select();
    this.box.focus();
  }

  /** Something happened: what is found may be something else now. */
  hear() {
    if (this.text && this.#timer === undefined) this.#later(NEWS_MS);
  }

  clear() {
    this.box.value = "";
    void this.#ask(null);
  }

  /** @param {number} wait_ms */
  #later(wait_ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#ask(null), this.text ? wait_ms : 0);
  }

  /** @param {string | null} cursor */
  async #ask(cursor) {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#asked += 1;
    const [asked, text] = [this.#asked, this.text];
    if (!text) {
      this.#say(null);
      this.#show(false);
      return;
    }
    try {
      const page = await this.#page(cursor, cursor ? PAGE : this.#size(text));
      if (asked !== this.#asked) return;
      this.#askedFor = text;
      this.#found = cursor ? [...this.#found, ...page.items] : page.items;
      this.#cursor = page.next_cursor;
      this.#say(null);
      this.#draw();
    } catch (error) {
      if (asked !== this.#asked) return;
      const wrong = error instanceof ApiError ? error.problem.errors?.[0] : undefined;
      this.#say(wrong ?? { message: lineOf(error) });
    }
  }

  /** How many to ask for: of the same search all the pages that are shown. @param {string} text */
  #size(text) {
    const shown = text === this.#askedFor ? this.#found.length : 0;
    return Math.min(Math.max(1, Math.ceil(shown / PAGE)) * PAGE, MOST);
  }

  /** The best first; where there are no words to be good at, the newest change. @param {string | null} cursor @param {number} limit */
  async #page(cursor, limit) {
    const query = new URLSearchParams({ q: this.box.value, limit: String(limit), sort: "relevance" });
    if (this.#zone) query.set("time_zone", this.#zone);
    if (cursor) query.set("cursor", cursor);
    for (;;) {
      try {
        return await this.options.api.ask("GET", `/api/tasks?${query}`);
      } catch (error) {
        const wrong = error instanceof ApiError ? error.problem.errors?.map((each) => each.field) : [];
        if (wrong?.includes("time_zone") && query.has("time_zone")) {
          // The server's database has no such zone: its days are those of UTC then.
          this.#zone = null;
          query.delete("time_zone");
        } else if (wrong?.includes("sort") && query.get("sort") === "relevance") query.set("sort", "-updated_at");
        else throw error;
      }
    }
  }

  /** @param {KeyboardEvent} event */
  #keyInBox(event) {
    if (event.key === "Escape") this.clear();
    const first = this.results.querySelector("button");
    if (event.key === "ArrowDown" && first) {
      event.preventDefault();
      first.focus();
    }
    if (event.key === "Enter") {
      event.preventDefault();
      void this.#ask(null);
    }
  }

  /** @param {KeyboardEvent} event */
  #keyInResults(event) {
    if (event.key === "Escape") {
      this.clear();
      this.box.focus();
    }
    const row = event.target instanceof Element ? event.target.closest("li") : null;
    if (!row || (event.key !== "ArrowDown" && event.key !== "ArrowUp")) return;
    event.preventDefault();
    const next = event.key === "ArrowDown" ? row.nextElementSibling : row.previousElementSibling;
    const button = next ? next.querySelector("button") : event.key === "ArrowUp" ? this.box : null;
    button?.focus();
  }

  // --- drawing ---------------------------------------------------------------------------------------------

  /** Say what is wrong, with the part that is. @param {Wrong | null} wrong */
  #say(wrong) {
    const line = the("search-error", HTMLElement);
    line.hidden = wrong === null;
    this.box.setAttribute("aria-invalid", String(wrong !== null));
    if (wrong === null) return;
    // The server counts characters, and not halves of them.
    const characters = Array.from(this.box.value);
    const [at, length] = [wrong.at ?? characters.length, wrong.length ?? 0];
    const part = (/** @type {number} */ from, /** @type {number} */ to) => characters.slice(from, to).join("");
    const text = [part(0, at), make("mark", { class: "wrong" }, part(at, at + length)), part(at + length, characters.length)];
    line.replaceChildren(...(wrong.at === undefined ? [] : [make("code", {}, ...text), " "]), wrong.message);
  }

  /** @param {boolean} shown */
  #show(shown) {
    the("results-part", HTMLElement).hidden = !shown;
    the("list-part", HTMLElement).hidden = shown;
  }

  #draw() {
    this.#show(true);
    const more = this.#cursor !== null;
    const count = this.#found.length;
    the("results-count", HTMLElement).textContent = `${count}${more ? "+" : ""} ${count === 1 ? "task" : "tasks"} found`;
    the("more-results", HTMLElement).hidden = !more;
    const open = (/** @type {string} */ id) => () => this.options.openTask(id);
    rows(
      this.results,
      this.#found,
      ({ id }) => id,
      ({ id }) =>
        make("li", { class: "row result" }, make("button", { type: "button", class: "title", click: open(id) }), make("span", { class: "chips" })),
      (row, found) => this.#refresh(row, found),
    );
  }

  /** @param {HTMLElement} row @param {Found} found */
  #refresh(row, found) {
    const [button, chips] = row.children;
    if (!button || !chips) return;
    row.classList.toggle("done", found.status === "done");
    const { match } = found;
    const title = match?.field === "title" ? marked(match.snippet) : [found.title];
    const more = match && match.field !== "title" ? [make("small", { class: "muted snippet", dir: "auto" }, ...marked(match.snippet))] : [];
    button.replaceChildren(make("span", { dir: "auto" }, ...title), ...more);
    button.setAttribute("aria-label", found.title);
    const list = this.options.store.lists.get(found.list_id)?.name ?? "";
    chips.replaceChildren(
      ...[[list, "list"], ...marksOf(found, 0, 0)].map(([text = "", kind = ""]) => make("span", { class: `chip ${kind}` }, text)),
    );
  }
}

/** A snippet: text with marks in it and nothing else, whatever it says. @param {string} html @returns {Node[]} */
function marked(html) {
  const { body } = new DOMParser().parseFromString(html, "text/html");
  return [...body.childNodes].map((node) =>
    node.nodeName === "MARK" ? make("mark", {}, node.textContent ?? "") : document.createTextNode(node.textContent ?? ""),
  );
}
