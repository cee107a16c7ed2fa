/* The WebSocket protocol. Made by `python -m api.typescript --write`; not edited by hand. */

/** Say who one is; with `since`, the automatic channels resume from there. */
export interface Authenticate {
  id?: number | string;
  type: "authenticate";
  token: string;
  features?: string[];
  since?: { [key: string]: number };
}

/** The socket speaks for `user` and has the automatic channels; `missed` updates come next. */
export interface Authenticated {
  id?: number | string;
  type: "authenticated";
  user: string;
  session: string;
  expires_in: number;
  ping_s: number;
  channels: string[];
  positions: { [key: string]: number };
  missed: number;
  limits: Limits;
}

/** A message of the client was refused. */
export interface Error {
  id?: number | string;
  type: "error";
  code: string;
  message: string;
}

/** The socket is about to be closed; come back after a time drawn from the window. */
export interface Goodbye {
  type: "goodbye";
  code: number;
  reason: string;
  retry_after_ms: [number, number];
}

/** What a socket may do at most; `messages_per_s` on average, `burst` of them at once. */
export interface Limits {
  message_bytes: number;
  subscriptions: number;
  missed: number;
  messages_per_s: number;
  burst: number;
}

/** Ask for a pong. */
export interface Ping {
  id?: number | string;
  type: "ping";
}

/** Answer a ping. */
export interface Pong {
  id?: number | string;
  type: "pong";
}

/** Who is on a channel: all who are `present`, or since then who `joined` (or changed) and who `left`. */
export interface Presence {
  type: "presence";
  channel: string;
  present?: PresentUser[];
  joined?: PresentUser[];
  left?: PresentUser[];
}

/** A user on a channel: with so many sockets, and what one of those said last. */
export interface PresentUser {
  user: string;
  connections: number;
  viewing: boolean;
  typing: boolean;
}

/** Go on with a newer token of the same user. */
export interface Refresh {
  id?: number | string;
  type: "refresh";
  token: string;
}

/** The newer token holds. */
export interface Refreshed {
  id?: number | string;
  type: "refreshed";
  expires_in: number;
}

/** When to remind: `at` a date-time with offset, or `before` the due date by an ISO 8601 duration. */
export interface Reminder {
  at?: string;
  before?: string;
}

/** More was missed than is sent: read a snapshot; what is new comes all the same. */
export interface Resync {
  type: "resync";
  channel: string;
  reason: string;
}

/**
 * The place of a task in its series.
 * `occurrence` counts from 1. `scheduled` is the date that the series gave it, wherever it is due by now.
 * `values` are those of fields that were edited for this occurrence only, as the next ones have them.
 */
export interface Series {
  id: string;
  occurrence: number;
  scheduled: string | null;
  values: SeriesValues;
}

/** Values of fields in a series, as JSON has them: those of `SERIES_FIELDS`. */
export interface SeriesValues {
  title?: string;
  notes?: string;
  priority?: "none" | "low" | "medium" | "high" | "urgent";
  time_zone?: string | null;
  tags?: string[];
  assignees?: string[];
  parent_id?: string | null;
  reminders?: Reminder[];
}

/** Tell the others on a channel something that is not kept. */
export interface Signal {
  id?: number | string;
  type: "signal";
  channel: string;
  kind: "typing" | "cursor" | "viewing";
  /** At most 1024 bytes of JSON, integers of 64 bits */
  data?: { [key: string]: unknown };
}

/** Another socket on the channel sent a signal. */
export interface SignalSent {
  type: "signal";
  channel: string;
  kind: "typing" | "cursor" | "viewing";
  data: { [key: string]: unknown };
  user: string;
  session: string;
}

/** A column of a list, and what being there says of a task. */
export interface Stage {
  name: string;
  category: "open" | "active" | "done";
}

/** Ask for a channel; with `since`, for what was missed too. */
export interface Subscribe {
  id?: number | string;
  type: "subscribe";
  channel: string;
  since?: { [key: string]: number };
}

/** The socket has the channel; `missed` updates come next. Without `id`: a new list of the user's. */
export interface Subscribed {
  id?: number | string;
  type: "subscribed";
  channel: string;
  positions: { [key: string]: number };
  missed: number;
}

/** How a node does, for admins. */
export interface SystemReport {
  type: "system";
  channel: "system";
  node: string;
  stats: SystemStats;
}

/** What a node does: what it has now, and what it counted since it started. */
export interface SystemStats {
  connections: number;
  subscriptions: number;
  published: number;
  delivered: number;
  /** How late updates come in; null if none came lately */
  lag_ms: number | null;
}

/**
 * A task's state after `version` events. Times are UTC; `due` is a date or a date-time with offset.
 * `recurrence` is an RFC 5545 rule whose COUNT says how many are left. `reminded` are the instants, in
 * RFC 3339 and UTC, whose reminders have fired, or had passed before they came to be.
 */
export interface Task {
  id: string;
  list_id: string;
  title: string;
  notes: string;
  status: "open" | "done";
  stage: string | null;
  priority: "none" | "low" | "medium" | "high" | "urgent";
  due: string | null;
  time_zone: string | null;
  tags: string[];
  assignees: string[];
  parent_id: string | null;
  recurrence: string | null;
  recurrence_from: "due" | "completion";
  series: Series | null;
  reminders: Reminder[];
  reminded: string[];
  comment_count: number;
  rank: string;
  version: number;
  created_at: string;
  created_by: string;
  updated_at: string;
  completed_at: string | null;
  deleted_at: string | null;
}

/** A list's state after `version` events; `members` maps user to role, `stages` are in their order. */
export interface TaskList {
  id: string;
  name: string;
  inbox: boolean;
  members: { [key: string]: "owner" | "editor" | "viewer" };
  stages: Stage[];
  version: number;
  created_at: string;
  created_by: string;
  updated_at: string;
  deleted_at: string | null;
}

/** Give a channel up. */
export interface Unsubscribe {
  id?: number | string;
  type: "unsubscribe";
  channel: string;
}

/** The socket no longer has the channel. Without `id`: it may not be seen any longer. */
export interface Unsubscribed {
  id?: number | string;
  type: "unsubscribed";
  channel: string;
}

/** Something happened: the event, what it changed, and the task or list as it is now. */
export interface Update {
  type: "update";
  channel: string;
  position: string;
  event: UpdateEvent;
  changes: { [key: string]: [unknown, unknown] };
  /** User → what it is told to them as */
  notifications?: { [key: string]: string };
  /** After it; null if it is not a task's, or the task is gone */
  task: Task | null;
  /** After it; null if it is not a list's, or the list is gone */
  list: TaskList | null;
}

/** An event of the log. What is not accepted is not told of, nor what can't be read. */
export interface UpdateEvent {
  id: string;
  type: string;
  stream: string;
  version: number;
  position: string;
  outcome: "accepted" | "superseded" | "parked";
  /** Why it is not accepted */
  reason: string | null;
  /** When it happened */
  time: string;
  /** When the log took it */
  recorded_at: string;
  actor: string;
  source: string;
  correlation_id: string | null;
  causation_id: string | null;
  data: { [key: string]: unknown };
}

/** What a client says. */
export type FromClient =
  | Authenticate
  | Subscribe
  | Unsubscribe
  | Refresh
  | Signal
  | Ping
  | Pong;

/** What a server says. */
export type FromServer =
  | Authenticated
  | Subscribed
  | Unsubscribed
  | Refreshed
  | Error
  | Update
  | SignalSent
  | Presence
  | SystemReport
  | Resync
  | Goodbye
  | Ping
  | Pong;
