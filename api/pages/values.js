/** Values as people read and write them: dates, rules, reminders, names. */

import { shortened } from "./text.js";

/** @typedef {import("./types.js").Reminder} Reminder */
/** @typedef {import("./types.js").Task} Task */

/** @type {Record<string, string>} */
export const RULES = {
  "FREQ=DAILY": "Daily",
  "FREQ=WEEKLY": "Weekly",
  "FREQ=MONTHLY": "Monthly",
  "FREQ=YEARLY": "Yearly",
};

/** @type {Record<string, string>} */
export const BEFORE = {
  PT0S: "At the time",
  PT10M: "10 minutes before",
  PT30M: "30 minutes before",
  PT1H: "1 hour before",
  P1D: "1 day before",
  P1W: "1 week before",
};

/** @param {string} rule */
export function ruleText(rule) {
  const parts = rule.split(";");
  const count = parts.find((part) => part.startsWith("COUNT="));
  const rest = parts.filter((part) => part !== count).join(";");
  const name = RULES[rest] ?? "Repeats";
  return count ? `${name}, ${count.slice("COUNT=".length)} left` : name;
}

/** @param {Reminder} reminder */
export function reminderText({ at, before = "" }) {
  return at ? when(at) : (BEFORE[before] ?? `${before} before`);
}

/** A due date in few words. @param {string} due */
export function dueText(due) {
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
export function isLate(task) {
  if (!task.due || task.status === "done") return false;
  const end = task.due.length === 10 ? new Date(`${task.due}T23:59:59`) : new Date(task.due);
  return end.getTime() < Date.now();
}

/** @param {string} time */
export function when(time) {
  return new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** The date and the time of day here, as form fields have them. @param {Date} moment @returns {[string, string]} */
export function localParts(moment) {
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const date = `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
  return [date, `${two(moment.getHours())}:${two(moment.getMinutes())}`];
}

/** A time here, with its offset. @param {string} date @param {string} time */
export function withOffset(date, time) {
  const minutes = -new Date(`${date}T${time}`).getTimezoneOffset();
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  const offset = `${String(hours).padStart(2, "0")}:${String(rest).padStart(2, "0")}`;
  return `${date}T${time}:00${minutes < 0 ? "-" : "+"}${offset}`;
}

/** The zone of this browser; null if it does not know. @returns {string | null} */
export function timeZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return zone && zone !== "Etc/Unknown" ? zone : null;
}

/** The names in a text that has commas between them. @param {string} text */
export function namesIn(text) {
  return [...new Set(text.split(",").map((name) => name.trim()).filter(Boolean))];
}

/** A value of any field in a line, for a comparison. @param {unknown} value @returns {string} */
export function brief(value) {
  const text = Array.isArray(value) ? value.map(item).join(", ") : item(value ?? "");
  if (text === "") return "nothing";
  return shortened(text, 80);
}

/** @param {unknown} value */
function item(value) {
  if (typeof value !== "object" || value === null) return String(value);
  if ("at" in value || "before" in value) return reminderText(/** @type {Reminder} */ (value));
  return JSON.stringify(value);
}
