/**
 * Which events the activity feed shows, and which of them are one line: the rules of `app/activity.py`, so that
 * what comes live joins what was read as if it had been read, too. The phrases are the server's own.
 */

import { partsOf } from "./streams.js";

/** @typedef {import("./types.js").ActivityEvent} ActivityEvent */
/** @typedef {import("./types.js").ActivityGroup} ActivityGroup */
/** @typedef {import("./types.js").Update} Update */
/** @typedef {{type: string, actor: string, list_id: string, event: ActivityEvent}} Activity */
/** @typedef {Record<string, [string, string]>} Phrases what is said of one, and of several */

const WINDOW_MS = 3_600_000;
const EVENTS_SHOWN = 5;
const TASK_IDS_SHOWN = 50;
const IMPORT = "/tasktape/import";
const POLICY = "/tasktape/policy";
/** @type {Record<string, string>} what policies do to the next occurrence of a task, as far as it is shown */
const BY_POLICY = {
  "task.created": "task.recurred",
  "task.restored": "task.recurred",
  "task.deleted": "task.withdrawn",
};

/**
 * What the feed calls an update; null if it does not show it.
 *
 * @param {Update} update
 */
export function activityType({ event, changes }) {
  if (event.outcome !== "accepted" || event.version === 0) return null;
  const { kind } = partsOf(event.stream);
  if (kind === "list") return listType(event);
  if (kind !== "task") return null;
  if (event.source.startsWith(IMPORT)) return event.version === 1 ? "task.imported" : null;
  if (event.source.startsWith(POLICY)) return BY_POLICY[event.type] ?? null;
  const status = changes["status"]?.[1];
  switch (event.type) {
    case "task.reminded":
      return null;
    case "task.edited":
      return status ? settled(status) : event.type;
    case "task.moved":
      if (changes["list_id"]) return "task.moved_in";
      return status ? settled(status) : event.data["stage"] ? "task.staged" : null;
    default:
      return event.type;
  }
}

/** @param {import("./types.js").TaskEvent} event */
function listType({ type, actor, data }) {
  if (type === "list.created" && data["inbox"]) return null;
  const fields = type === "list.edited" ? Object.keys(data["fields"] ?? {}) : [];
  if (fields.length === 1 && fields[0] === "time_zone") return "list.time_zone_changed";
  return type === "list.member_removed" && data["user"] === actor ? "list.left" : type;
}

/** @param {unknown} status */
function settled(status) {
  return status === "done" ? "task.completed" : "task.reopened";
}

/**
 * An update as those see it who look at some lists; null if it is nothing to them.
 *
 * @param {Update} update
 * @param {(listId: string) => boolean} isShown whether a list is one of those
 * @param {{title: string, list_id: string} | undefined} known the task as it was known, if the update has none
 * @returns {Activity | null}
 */
export function activityOf(update, isShown, known) {
  const { event, changes, task, list } = update;
  let type = activityType(update);
  if (type === null) return null;
  const { kind, id } = partsOf(event.stream);
  const [left, arrived] = changes["list_id"] ?? [];
  let listId = String(kind === "list" ? id : (arrived ?? task?.list_id ?? known?.list_id ?? ""));
  if (!isShown(listId)) {
    if (!left || !isShown(String(left))) return null;
    listId = String(left);
    if (type === "task.moved_in") type = "task.moved_out";
  }
  return {
    type,
    actor: type === "task.imported" ? decodeURIComponent(event.source.slice(IMPORT.length + 1)) : event.actor,
    list_id: listId,
    event: {
      id: event.id,
      type: event.type,
      stream: event.stream,
      version: event.version,
      position: event.position,
      task_id: kind === "task" ? id : null,
      title: task?.title ?? list?.name ?? known?.title ?? "",
      time: event.time,
      recorded_at: event.recorded_at,
      actor: event.actor,
      data: event.data,
      changes,
    },
  };
}

/**
 * What tells groups apart: the actor, the type, the list and the hour.
 *
 * @param {{actor: string, type: string, list_id: string}} group
 * @param {string} at
 */
function keyOf({ actor, type, list_id }, at) {
  return JSON.stringify([Math.floor(Date.parse(at) / WINDOW_MS), actor, type, list_id]);
}

/** The key of a group. @param {ActivityGroup} group */
export function groupKey(group) {
  return keyOf(group, group.last_at);
}

/**
 * Let an event join its group, or make one for it; groups are in order, by their newest event.
 *
 * @param {ActivityGroup[]} groups changed in place
 * @param {Activity} activity
 * @param {Phrases} phrases
 */
export function join(groups, activity, phrases) {
  const { event } = activity;
  const key = keyOf(activity, event.recorded_at);
  const index = groups.findIndex((group) => groupKey(group) === key);
  const [group] = index < 0 ? [emptyGroup(activity)] : groups.splice(index, 1);
  if (group) {
    add(group, event);
    group.summary = summary(group, phrases);
    place(groups, group);
  }
}

/**
 * Add the groups of a further page; a group that was cut becomes whole again.
 *
 * @param {ActivityGroup[]} groups changed in place
 * @param {ActivityGroup[]} page
 * @param {Phrases} phrases
 */
export function append(groups, page, phrases) {
  const known = new Map(groups.map((group) => [groupKey(group), group]));
  for (const rest of page) {
    const group = known.get(groupKey(rest));
    if (group) {
      group.count += rest.count;
      group.task_count += rest.task_count;
      group.first_at = rest.first_at;
      group.task_ids = [...new Set([...group.task_ids, ...rest.task_ids])].slice(0, TASK_IDS_SHOWN);
      group.summary = summary(group, phrases);
    } else groups.push(rest);
  }
}

/** @param {Activity} activity @returns {ActivityGroup} */
function emptyGroup({ actor, type, list_id, event }) {
  const at = event.recorded_at;
  return {
    summary: "",
    actor,
    type,
    list_id,
    count: 0,
    task_count: 0,
    task_ids: [],
    first_at: at,
    last_at: at,
    events: [],
  };
}

/** @param {ActivityGroup} group @param {ActivityEvent} event */
function add(group, event) {
  group.count += 1;
  if (event.task_id !== null && !group.task_ids.includes(event.task_id)) {
    group.task_count += 1;
    group.task_ids = [event.task_id, ...group.task_ids].slice(0, TASK_IDS_SHOWN);
  }
  group.events = [...group.events, event].sort(newestFirst).slice(0, EVENTS_SHOWN);
  const at = Date.parse(event.recorded_at);
  if (at < Date.parse(group.first_at)) group.first_at = event.recorded_at;
  if (at > Date.parse(group.last_at)) group.last_at = event.recorded_at;
}

/** @param {ActivityGroup[]} groups @param {ActivityGroup} group */
function place(groups, group) {
  const [newest] = group.events;
  const index = groups.findIndex(({ events: [other] }) => newest && other && newestFirst(newest, other) < 0);
  groups.splice(index < 0 ? groups.length : index, 0, group);
}

/** The order of the feed. @param {ActivityEvent} a @param {ActivityEvent} b */
function newestFirst(a, b) {
  const [partitionA = 0, offsetA = 0] = a.position.split(":").map(Number);
  const [partitionB = 0, offsetB = 0] = b.position.split(":").map(Number);
  return Date.parse(b.recorded_at) - Date.parse(a.recorded_at) || partitionA - partitionB || offsetB - offsetA;
}

/** The line for a group. @param {ActivityGroup} group @param {Phrases} phrases */
function summary(group, phrases) {
  const n = group.task_count || group.count;
  const [newest] = group.events;
  const phrase = phrases[group.type]?.[n === 1 ? 0 : 1] ?? "";
  /** @type {Record<string, unknown>} */
  const facts = { ...newest?.data, actor: group.actor, title: newest?.title, n: n.toLocaleString("en") };
  return phrase.replace(/\{(\w+)\}/g, (_, name) => String(facts[name]));
}
