/**
 * What the API sends, as far as the page uses it.
 *
 * @typedef {import("./protocol.js").Task} Task
 * @typedef {import("./protocol.js").TaskList} TaskList
 * @typedef {import("./protocol.js").Reminder} Reminder
 * @typedef {import("./protocol.js").Stage} Stage
 * @typedef {import("./protocol.js").Update} Update
 * @typedef {import("./protocol.js").FromClient} FromClient
 * @typedef {import("./protocol.js").FromServer} FromServer
 * @typedef {TaskList["members"][string]} Role
 * @typedef {Update["event"] & {changes?: Changes}} TaskEvent of a history, with what it changed
 * @typedef {Update["changes"]} Changes
 * @typedef {Object<string, number>} Positions
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
