/** The form of a task: its fields, what was changed in them, and what comes from elsewhere meanwhile. */

import { make, the } from "./dom.js";
import { RULES, localParts, namesIn, reminderText, timeZone, withOffset } from "./values.js";

/** @typedef {import("./types.js").Reminder} Reminder */
/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").TaskList} TaskList */
/** @typedef {{shown: (task: Task) => any, read: () => any, write: (shown: any) => void, patch: (shown: any, from: Task) => any}} Field
 *    what the form shows of a task, and what of it is sent */

const CUSTOM = "custom";
const AT = "at";

export class TaskForm {
  /** @type {Task | null} the task that the values started from, of changed fields as it was then */ #from = null;
  /** @type {number} the version that an edit is of */ #version = 0;
  /** @type {Reminder[]} */ #reminders = [];

  constructor() {
    this.form = the("detail-form", HTMLFormElement);
    this.rule = the("edit-recurrence", HTMLSelectElement);
    this.ruleText = the("edit-rule", HTMLInputElement);
    this.fromCompletion = the("edit-from-completion", HTMLInputElement);
    this.onlyThis = the("edit-only-this", HTMLInputElement);
    this.date = the("edit-due", HTMLInputElement);
    this.time = the("edit-time", HTMLInputElement);
    this.stage = the("edit-stage", HTMLSelectElement);
    this.newReminder = the("edit-reminder", HTMLSelectElement);
    this.reminderAt = the("edit-reminder-at", HTMLInputElement);
    this.rule.onchange = () => this.#ruleChosen();
    this.date.onchange = () => this.#settle();
    this.fromCompletion.onchange = () => this.#ruleChosen();
    this.newReminder.onchange = () => this.#reminderChosen();
    this.reminderAt.onchange = () => this.#reminderAtChosen();
    this.fields = this.#fields();
  }

  /** Forget the task that is shown. */
  clear() {
    this.#from = null;
    this.onlyThis.checked = false;
  }

  /** Show a task, but for the fields that were changed here. @param {Task} task */
  fill(task) {
    const from = this.#from;
    if (from && from.version >= task.version) return;
    const changed = new Set(from ? this.#changed(from) : []);
    if (changed.size === 0) this.#version = task.version;
    /** @type {any} */
    const next = { ...task };
    for (const [name, field] of Object.entries(this.fields)) {
      if (!from || !changed.has(name)) field.write(field.shown(task));
      else next[name] = from[/** @type {keyof Task} */ (name)];
    }
    this.#from = next;
    this.#settle();
  }

  /** Start anew from a task, with what was changed here but for the fields that are to be as others made them.
   *  @param {Task} task @param {string[]} theirs */
  take(task, theirs) {
    const mine = new Set(this.#from ? this.#changed(this.#from) : []);
    for (const name of theirs) mine.delete(name);
    for (const [name, field] of Object.entries(this.fields)) if (!mine.has(name)) field.write(field.shown(task));
    this.#from = task;
    this.#version = task.version;
    this.#settle();
  }

  /** What is to be sent: the fields that were changed, the version they are of, and for which occurrences. */
  edit() {
    /** @type {Record<string, unknown>} */
    const body = {};
    const from = this.#from;
    if (!from) return { body, version: 0, scope: "" };
    for (const name of this.#changed(from)) body[name] = this.fields[name]?.patch(this.fields[name]?.read(), from);
    const zone = timeZone();
    if (typeof body["due"] === "string" && from.time_zone === null && zone) body["time_zone"] = zone;
    return { body, version: this.#version, scope: this.onlyThis.checked ? "?scope=this" : "" };
  }

  /** Show the list's stages, its members as those who may be asked, and whether anything may be edited.
   *  @param {TaskList | undefined} list @param {boolean} editable */
  drawChoices(list, editable) {
    the("detail-fields", HTMLFieldSetElement).disabled = !editable;
    the("save-task", HTMLElement).hidden = !editable;
    const stages = (list?.stages ?? []).map((stage) => stage.name);
    const shown = this.stage.value;
    const own = this.#from?.stage;
    const options = [...stages, ...(own && !stages.includes(own) ? [own] : [])];
    the("stage-field", HTMLElement).hidden = options.length === 0;
    replaceOptions(this.stage, own ? options : ["", ...options]);
    if (this.stage.value !== shown && options.includes(shown)) this.stage.value = shown;
    const people = the("people", HTMLDataListElement);
    const names = Object.keys(list?.members ?? {});
    if (people.children.length !== names.length) people.replaceChildren(...names.map((name) => make("option", { value: name })));
  }

  /** @param {Task} from @returns {string[]} */
  #changed(from) {
    return Object.entries(this.fields)
      .filter(([, field]) => JSON.stringify(field.read()) !== JSON.stringify(field.shown(from)))
      .map(([name]) => name);
  }

  /** @returns {Record<string, Field>} */
  #fields() {
    return {
      title: text("edit-title", (task) => task.title),
      // Text areas turn every line end into one character.
      notes: text("edit-notes", (task) => task.notes.replace(/\r\n?/g, "\n")),
      due: {
        shown: ({ due }) => (due === null ? ["", ""] : due.length === 10 ? [due, ""] : localParts(new Date(due))),
        read: () => [this.date.value, this.date.value && this.time.value],
        write: ([date, time]) => ([this.date.value, this.time.value] = [date, time]),
        patch: ([date, time]) => (time ? withOffset(date, time) : date || null),
      },
      priority: text("edit-priority", (task) => task.priority),
      stage: {
        shown: (task) => task.stage ?? "",
        read: () => this.stage.value,
        write: (stage) => {
          if (![...this.stage.options].some((option) => option.value === stage)) this.stage.add(new Option(stage || "None", stage));
          this.stage.value = stage;
        },
        patch: (stage) => stage || null,
      },
      recurrence: {
        shown: (task) => task.recurrence ?? "",
        read: () => (this.rule.value === CUSTOM ? this.ruleText.value.trim() : this.rule.value),
        write: (rule) => {
          this.rule.value = rule in RULES || rule === "" ? rule : CUSTOM;
          this.ruleText.value = rule;
        },
        patch: (rule) => rule || null,
      },
      recurrence_from: {
        shown: (task) => task.recurrence_from,
        read: () => (this.fromCompletion.checked ? "completion" : "due"),
        write: (from) => (this.fromCompletion.checked = from === "completion"),
        patch: (from) => from,
      },
      estimate: number("edit-estimate", (task) => task.estimate),
      assignees: names("edit-assignees", (task) => task.assignees),
      tags: names("edit-tags", (task) => task.tags),
      reminders: {
        shown: (task) => task.reminders,
        read: () => this.#reminders,
        write: (reminders) => (this.#reminders = [...reminders]),
        patch: (reminders) => reminders,
      },
    };
  }

  /** A rule counts from a date: today, unless there is one. */
  #ruleChosen() {
    if (this.rule.value && !this.fromCompletion.checked && !this.date.value) [this.date.value] = localParts(new Date());
    this.#settle();
    if (this.rule.value === CUSTOM) this.ruleText.focus();
  }

  #reminderChosen() {
    const { value } = this.newReminder;
    if (value === AT) {
      this.reminderAt.hidden = false;
      this.reminderAt.focus();
      return;
    }
    this.#remind({ before: value });
  }

  #reminderAtChosen() {
    const [date, time] = this.reminderAt.value.split("T");
    if (date && time) this.#remind({ at: withOffset(date, time) });
  }

  /** @param {Reminder} reminder */
  #remind(reminder) {
    const isNew = !this.#reminders.some((each) => JSON.stringify(each) === JSON.stringify(reminder));
    if (isNew) this.#reminders.push(reminder);
    this.newReminder.value = this.reminderAt.value = "";
    this.reminderAt.hidden = true;
    this.#settle();
  }

  /** Show what goes with the values of the other fields. */
  #settle() {
    const recurs = this.rule.value !== "";
    this.ruleText.hidden = this.rule.value !== CUSTOM;
    the("recurrence-more", HTMLElement).hidden = !recurs;
    the("only-this", HTMLElement).hidden = !this.#from?.series;
    this.time.disabled = this.date.value === "";
    the("reminders", HTMLElement).replaceChildren(
      ...this.#reminders.map((reminder) => {
        const said = reminderText(reminder);
        const remove = () => {
          this.#reminders = this.#reminders.filter((each) => each !== reminder);
          this.#settle();
        };
        const button = make("button", { type: "button", class: "quiet icon", "aria-label": `Remove the reminder: ${said}`, click: remove }, "✕");
        return make("li", { class: "chip" }, said, button);
      }),
    );
  }
}

/** @param {HTMLSelectElement} select @param {string[]} values */
function replaceOptions(select, values) {
  const known = [...select.options].map((option) => option.value);
  if (JSON.stringify(known) === JSON.stringify(values)) return;
  const { value } = select;
  select.replaceChildren(...values.map((each) => new Option(each || "None", each)));
  if (values.includes(value)) select.value = value;
}

/** A field of plain text. @param {string} id @param {(task: Task) => string} shown @returns {Field} */
function text(id, shown) {
  const input = /** @type {HTMLInputElement} */ (the(id, HTMLElement));
  return { shown, read: () => input.value, write: (value) => (input.value = value), patch: (value) => value };
}

/** A field of an optional number. @param {string} id @param {(task: Task) => number | null} shown @returns {Field} */
function number(id, shown) {
  const input = the(id, HTMLInputElement);
  return {
    shown: (task) => String(shown(task) ?? ""),
    read: () => input.value,
    write: (value) => (input.value = value),
    patch: (value) => (value === "" ? null : Number(value)),
  };
}

/** A field of names with commas between them. @param {string} id @param {(task: Task) => string[]} shown @returns {Field} */
function names(id, shown) {
  const input = the(id, HTMLInputElement);
  return { shown, read: () => namesIn(input.value), write: (value) => (input.value = value.join(", ")), patch: (value) => value };
}
