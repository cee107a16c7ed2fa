/**
 * What the API sends, as far as the page uses it.
 *
 * @typedef {Object} Task
 * @property {string} id
 * @property {string} list_id
 * @property {string} title
 * @property {string} notes
 * @property {"open" | "done"} status
 * @property {string | null} stage
 * @property {"none" | "low" | "medium" | "high" | "urgent"} priority
 * @property {string | null} due
 * @property {string | null} time_zone
 * @property {string[]} tags
 * @property {string[]} assignees
 * @property {string | null} parent_id
 * @property {string | null} recurrence
 * @property {"due" | "completion"} recurrence_from
 * @property {unknown | null} series
 * @property {Reminder[]} reminders
 * @property {number} comment_count
 * @property {string} rank
 * @property {number} version
 * @property {string} created_at
 * @property {string} created_by
 * @property {string} updated_at
 *
 * @typedef {{at: string} | {before: string}} Reminder
 * @typedef {"owner" | "editor" | "viewer"} Role
 * @typedef {{name: string, category: "open" | "active" | "done"}} Stage
 *
 * @typedef {Object} TaskList
 * @property {string} id
 * @property {string} name
 * @property {boolean} inbox
 * @property {Object<string, Role>} members
 * @property {Stage[]} stages
 * @property {number} version
 * @property {string} created_at
 *
 * @typedef {Object} TaskEvent
 * @property {string} id
 * @property {string} type
 * @property {string} stream
 * @property {number} version
 * @property {string} position
 * @property {string} outcome
 * @property {string} time
 * @property {string} recorded_at
 * @property {string} actor
 * @property {string} source
 * @property {string | null} correlation_id
 * @property {Object<string, unknown>} data
 * @property {Changes} [changes]
 *
 * @typedef {Object<string, [unknown, unknown]>} Changes
 * @typedef {Object<string, number>} Positions
 *
 * @typedef {Object} Update
 * @property {"update"} type
 * @property {string} channel
 * @property {string} position
 * @property {TaskEvent} event
 * @property {Changes} changes
 * @property {Object<string, string>} [notifications] whom it is told to, as what
 * @property {Task | null} task
 * @property {TaskList | null} list
 *
 * @typedef {Object} Comment
 * @property {string} id
 * @property {string} author
 * @property {string} text
 * @property {string} created_at
 * @property {string | null} edited_at
 *
 * @typedef {Object} Notification
 * @property {string} id
 * @property {"assigned" | "mentioned" | "reminded" | "shared" | "commented"} kind
 * @property {boolean} read
 * @property {string} actor
 * @property {string | null} task_id
 * @property {string} list_id
 * @property {string} title
 * @property {string | null} excerpt
 * @property {string} time
 *
 * @typedef {Object} ActivityEvent
 * @property {string} id
 * @property {string} type
 * @property {string} stream
 * @property {number} version
 * @property {string} position
 * @property {string | null} task_id
 * @property {string} title
 * @property {string} time
 * @property {string} recorded_at
 * @property {string} actor
 * @property {Object<string, unknown>} data
 * @property {Changes} changes
 *
 * @typedef {Object} ActivityGroup
 * @property {string} summary
 * @property {string} actor
 * @property {string} type
 * @property {string} list_id
 * @property {number} count
 * @property {number} task_count
 * @property {string[]} task_ids
 * @property {string} first_at
 * @property {string} last_at
 * @property {ActivityEvent[]} events
 *
 * @typedef {Object} Problem
 * @property {string} [title]
 * @property {string} [detail]
 * @property {string} [code]
 * @property {{field: string, message: string, at?: number, length?: number}[]} [errors]
 * @property {Object<string, unknown>} [base]
 * @property {Object<string, unknown>} [theirs]
 * @property {Object<string, unknown>} [yours]
 */
export {};
