/** Requests to the API: JSON in, JSON out, problems as errors with one line for a person. */

/** @typedef {import("./types.js").Problem} Problem */

const TIMEOUT_MS = 30_000;

export class ApiError extends Error {
  /** @param {number} status @param {Problem} problem */
  constructor(status, problem) {
    const fields = (problem.errors ?? []).map((each) => `${each.field}: ${each.message}`);
    super(fields.join("; ") || problem.detail || problem.title || `The server answered ${status}`);
    this.status = status;
    this.code = problem.code ?? "";
    this.problem = problem;
  }
}

/** What to tell a person of an error. @param {unknown} error */
export function lineOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/** A key that nobody else has. (`crypto.randomUUID` is missing on addresses that are not secure.) */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Api {
  /** @type {() => void} the token is no longer good */ onUnauthenticated = () => {};

  /** @param {string} token */
  constructor(token) {
    this.token = token;
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{body?: unknown, headers?: Record<string, string>}} [more]
   * @returns {Promise<any>} the answer's JSON, or null if it has none
   */
  async ask(method, path, { body, headers } = {}) {
    const answer = await this.#fetch(method, path, body, headers);
    const text = await answer.text();
    if (answer.ok) return text ? JSON.parse(text) : null;
    if (answer.status === 401) this.onUnauthenticated();
    throw new ApiError(answer.status, problemOf(text));
  }

  /**
   * @param {string} method @param {string} path @param {unknown} body
   * @param {Record<string, string> | undefined} headers
   */
  async #fetch(method, path, body, headers) {
    try {
      return await fetch(path, {
        method,
        headers: {
          Authorization: `Bearer ${this.token}`,
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
          // So a proxy may send it again if it lost the node that had it.
          ...(method === "GET" ? {} : { "Idempotency-Key": newKey() }),
          ...headers,
        },
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch {
      throw new ApiError(0, { detail: "The server cannot be reached. Try again in a moment." });
    }
  }
}

/** @param {string} text @returns {Problem} */
function problemOf(text) {
  try {
    const problem = JSON.parse(text);
    return typeof problem === "object" && problem !== null ? problem : {};
  } catch {
    return {};
  }
}
