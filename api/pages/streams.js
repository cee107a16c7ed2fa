/** The names of streams and channels: `task:<id>`, `list:<id>` and `user:<name>`. */

/** The two parts of the name of a stream or channel. @param {string} name */
export function partsOf(name) {
  const [kind = "", ...rest] = name.split(":");
  return { kind, id: rest.join(":") };
}

/** @param {string} id */
export function taskStream(id) {
  return `task:${id}`;
}

/** @param {string} id */
export function listStream(id) {
  return `list:${id}`;
}

/** @param {string} user */
export function userStream(user) {
  return `user:${user}`;
}
