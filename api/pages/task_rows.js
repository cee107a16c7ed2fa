/** The tasks of the list that is shown, one below the other. */

import { make, rows, the } from "./dom.js";
import { dueText, isLate, ruleText } from "./values.js";

/** @typedef {import("./commands.js").Commands} Commands */
/** @typedef {import("./order.js").Order} Order */
/** @typedef {import("./store.js").Shown} Shown */
/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./types.js").Task} Task */
/** @typedef {{open: boolean, editable: boolean}} Look */

const DEEPEST = 4;

export class TaskRows {
  /** @type {WeakMap<HTMLElement, Shown & Look>} what each row shows */ #drawn = new WeakMap();

  /** @param {{store: Store, commands: Commands, order: Order, openId: () => string | null, onOpen: (task: Task) => void}} options */
  constructor(options) {
    this.options = options;
    this.list = the("tasks", HTMLElement);
  }

  draw() {
    const { store, openId } = this.options;
    const shown = store.shownTasks();
    const editable = store.mayEdit(store.listId);
    rows(this.list, shown, ({ task }) => task.id, ({ task }) => this.#row(task), (row, each) =>
      this.#refresh(row, { ...each, editable, open: openId() === each.task.id }),
    );
    const more = store.cursor !== null;
    const open = shown.filter(({ task }) => task.status === "open").length;
    the("count", HTMLElement).textContent = shown.length === 0 ? "" : `${open}${more ? "+" : ""} open`;
    const empty = the("empty", HTMLElement);
    empty.hidden = shown.length > 0 || store.listId === null;
    empty.textContent = editable ? "Nothing here yet. Add the first task above." : "Nothing here yet.";
    the("more", HTMLElement).hidden = !more;
    the("new-task", HTMLElement).hidden = !editable;
  }

  /** @param {Task} task */
  #row(task) {
    const { store, commands, onOpen, order } = this.options;
    const current = () => store.task(task.id) ?? task;
    const check = make("input", { type: "checkbox", class: "check" });
    check.addEventListener("change", () => void commands.complete(current(), check.checked));
    const row = make(
      "li",
      { class: "row" },
      check,
      make("button", { type: "button", class: "title", dir: "auto", click: () => onOpen(current()) }),
      make("span", { class: "chips" }),
      make("button", { type: "button", class: "quiet icon delete", click: () => void commands.delete(current()) }, "✕"),
    );
    order.follow(row, current);
    return row;
  }

  /** @param {HTMLElement} row @param {Shown & Look} now */
  #refresh(row, now) {
    const [check, title, chips, remove] = row.children;
    if (!(check instanceof HTMLInputElement) || !title || !chips || !(remove instanceof HTMLElement)) return;
    const { task, depth, below, belowDone, editable } = now;
    // What was clicked and not granted has to be set back, too.
    check.checked = task.status === "done";
    const before = this.#drawn.get(row);
    if (before && isSame(before, now)) return;
    this.#drawn.set(row, now);
    const isDraft = task.version === 0;
    check.disabled = isDraft || !editable;
    title.toggleAttribute("disabled", isDraft);
    remove.toggleAttribute("disabled", isDraft);
    remove.hidden = !editable;
    row.draggable = editable && !isDraft;
    check.setAttribute("aria-label", `Done: ${task.title}`);
    remove.setAttribute("aria-label", `Delete ${task.title}`);
    if (title.textContent !== task.title) title.textContent = task.title;
    row.classList.toggle("done", task.status === "done");
    row.classList.toggle("draft", isDraft);
    row.classList.toggle("open", now.open);
    row.style.setProperty("--depth", String(Math.min(depth, DEEPEST)));
    if (depth > 0) row.setAttribute("aria-level", String(depth + 1));
    else row.removeAttribute("aria-level");
    chips.replaceChildren(...marksOf(task, below, belowDone).map(([text, kind]) => make("span", { class: `chip ${kind}` }, text)));
  }
}

/** @param {Shown & Look} one @param {Shown & Look} other */
function isSame(one, other) {
  return (
    one.task === other.task &&
    one.depth === other.depth &&
    one.below === other.below &&
    one.belowDone === other.belowDone &&
    one.open === other.open &&
    one.editable === other.editable
  );
}

/** A number of minutes as text, such as “1 h 30 min”. @param {number} minutes */
export function minutesText(minutes) {
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  return [hours && `${hours} h`, (rest || !hours) && `${rest} min`].filter(Boolean).join(" ");
}

/** What is good to know of a task: texts, and what kind they are of. @param {Task} task @param {number} below
 *  @param {number} belowDone @returns {[string, string][]} */
export function marksOf(task, below, belowDone) {
  /** @type {[string, string][]} */
  const marks = [];
  if (below > 0) marks.push([`${belowDone}/${below} sub-tasks`, "below"]);
  if (task.priority !== "none") marks.push([task.priority, `priority ${task.priority}`]);
  if (task.due) marks.push([dueText(task.due), isLate(task) ? "due late" : "due"]);
  if (task.estimate !== null) marks.push([minutesText(task.estimate), "estimate"]);
  if (task.recurrence) marks.push([`↻ ${ruleText(task.recurrence)}`, "recurrence"]);
  if (task.stage) marks.push([task.stage, "stage"]);
  for (const tag of task.tags) marks.push([`#${tag}`, "tag"]);
  for (const user of task.assignees) marks.push([`@${user}`, "assignee"]);
  if (task.comment_count > 0) marks.push([`${task.comment_count} ${task.comment_count === 1 ? "comment" : "comments"}`, "talk"]);
  return marks;
}
