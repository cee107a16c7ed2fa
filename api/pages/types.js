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
 * @property {string[]} tags
 * @property {string[]} assignees
 * @property {string} rank
 * @property {number} version
 * @property {string} created_at
 * @property {string} created_by
 * @property {string} updated_at
 *
 * @typedef {Object} TaskList
 * @property {string} id
 * @property {string} name
 * @property {boolean} inbox
 * @property {number} version
 * @property {string} created_at
 *
 * @typedef {Object} TaskEvent
 * @property {string} id
 * @property {string} type
 * @property {string} stream
 * @property {number} version
 * @property {string} position
 * @property {string} time
 * @property {string} actor
 * @property {string | null} correlation_id
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
 * @property {Task | null} task
 * @property {TaskList | null} list
 *
 * @typedef {Object} Problem
 * @property {string} [title]
 * @property {string} [detail]
 * @property {string} [code]
 * @property {{field: string, message: string}[]} [errors]
 */
export {};
