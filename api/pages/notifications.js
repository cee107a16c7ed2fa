/** What one was told: a bell with a count, and what is behind it. */

import { attempt } from "./attempts.js";
import { avatar } from "./avatars.js";
import { make, rows, the, toast } from "./dom.js";
import { userStream } from "./streams.js";
import { when } from "./values.js";

/** @typedef {import("./http.js").Api} Api */
/** @typedef {import("./types.js").Notification} Notification */
/** @typedef {import("./types.js").Update} Update */

const PAGE = 30;
const GATHER_MS = 100;
const MOST_SHOWN = 99;

/** @type {Record<Notification["kind"], (notification: Notification) => (Node | string)[]>} */
const SAID = {
  assigned: ({ actor, title }) => [make("b", {}, actor), ` assigned you “${title}”`],
  mentioned: ({ actor, title }) => [make("b", {}, actor), ` mentioned you in “${title}”`],
  reminded: ({ title }) => [make("b", {}, "Reminder"), ` of “${title}”`],
  shared: ({ actor, title }) => [make("b", {}, actor), ` shared “${title}” with you`],
  commented: ({ actor, title }) => [make("b", {}, actor), ` commented on “${title}”`],
};

export class Notifications {
  /** @type {Notification[]} */ #items = [];
  /** @type {string | null} */ #cursor = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #reading = 0;

  /** @param {{api: Api, me: string, openTask: (id: string) => void, openList: (id: string) => void}} options */
  constructor(options) {
    this.options = options;
    this.panel = the("notifications", HTMLElement);
    this.bell = the("bell", HTMLElement);
    this.bell.onclick = () => (this.panel.hidden ? this.open() : this.close());
    the("read-all", HTMLElement).onclick = () => void this.#readAll();
    the("close-notifications", HTMLElement).onclick = () => this.close();
    the("more-notifications", HTMLElement).onclick = () => void this.#read(this.#cursor);
    this.panel.onkeydown = (event) => {
      if (event.key === "Escape") this.close();
    };
  }

  open() {
    this.panel.hidden = false;
    this.bell.setAttribute("aria-expanded", "true");
    this.panel.focus();
    this.reload();
  }

  close() {
    const hadFocus = this.panel.contains(document.activeElement);
    this.panel.hidden = true;
    this.bell.setAttribute("aria-expanded", "false");
    if (hadFocus) this.bell.focus();
  }

  /** Take news: what I am told, and what I have read elsewhere. @param {Update} update */
  hear(update) {
    const kind = update.notifications?.[this.options.me];
    if (kind === undefined && update.event.stream !== userStream(this.options.me)) return;
    const { task } = update;
    if (kind === "reminded" && task) {
      toast(`Reminder: “${task.title}”.`, { action: "Open", onAction: () => this.options.openTask(task.id) });
    }
    this.reload();
  }

  /** Read them anew, once for all that happens within a moment. */
  reload() {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#read(null);
    }, GATHER_MS);
  }

  /** @param {string | null} cursor */
  async #read(cursor) {
    this.#reading += 1;
    const reading = this.#reading;
    const more = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
    await attempt(async () => {
      const page = await this.options.api.ask("GET", `/api/notifications?limit=${PAGE}${more}`);
      if (reading !== this.#reading) return;
      this.#items = cursor ? [...this.#items, ...page.items] : page.items;
      this.#cursor = page.next_cursor;
      this.count(page.unread);
      this.#draw();
    });
  }

  /** Show how many are unread. @param {number} unread */
  count(unread) {
    the("bell-count", HTMLElement).textContent = unread > MOST_SHOWN ? `${MOST_SHOWN}+` : unread > 0 ? String(unread) : "";
    this.bell.setAttribute("aria-label", unread > 0 ? `Notifications, ${unread} unread` : "Notifications");
    the("read-all", HTMLElement).hidden = unread === 0;
  }

  /** @param {string} id */
  async #choose(id) {
    const chosen = this.#items.find((each) => each.id === id);
    if (!chosen) return;
    this.close();
    if (chosen.task_id) this.options.openTask(chosen.task_id);
    else this.options.openList(chosen.list_id);
    if (!chosen.read) await attempt(() => this.options.api.ask("POST", `/api/notifications/${id}/read`));
    this.reload();
  }

  async #readAll() {
    await attempt(() => this.options.api.ask("POST", "/api/notifications/read-all"));
    this.reload();
  }

  #draw() {
    the("no-notifications", HTMLElement).hidden = this.#items.length > 0;
    the("more-notifications", HTMLElement).hidden = this.#cursor === null;
    const build = (/** @type {Notification} */ { id, actor, kind }) =>
      make(
        "li",
        {},
        make(
          "button",
          { type: "button", class: "notification", click: () => void this.#choose(id) },
          avatar(actor, kind === "reminded" ? "⏰" : undefined),
          make("span", {}),
        ),
      );
    rows(the("notification-rows", HTMLElement), this.#items, ({ id }) => id, build, (row, each) => {
      const signature = JSON.stringify([each.title, each.excerpt, each.read]);
      if (row.dataset["shows"] === signature) return;
      row.dataset["shows"] = signature;
      row.classList.toggle("unread", !each.read);
      row.querySelector("button > :last-child")?.replaceChildren(
        make("span", {}, ...SAID[each.kind](each)),
        ...(each.excerpt ? [make("small", { class: "hint" }, each.excerpt)] : []),
        make("small", { class: "muted" }, when(each.time), ...(each.read ? [] : [make("span", { class: "visually-hidden" }, ", unread")])),
      );
    });
  }
}
