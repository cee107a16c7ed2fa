/** Things that may fail, and say so. */

import { toast } from "./dom.js";
import { ApiError, lineOf } from "./http.js";

/**
 * Do something that may fail; say so if it does. (That the token is no longer good is said elsewhere.)
 *
 * @template T
 * @param {() => Promise<T>} work
 * @param {(error: unknown) => void} [onFailure]
 * @returns {Promise<T | undefined>}
 */
export async function attempt(work, onFailure) {
  try {
    return await work();
  } catch (error) {
    onFailure?.(error);
    if (!(error instanceof ApiError && error.status === 401)) toast(lineOf(error), { bad: true });
    return undefined;
  }
}

/** @param {number} ms */
export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
