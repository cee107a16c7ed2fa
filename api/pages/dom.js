/** The little of the DOM that the page needs; text goes in as text, never as markup. */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function the(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return element;
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | boolean | ((event: Event) => void)>} [attributes] functions are listeners
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/**
 * Make the children of `parent` the rows of `items`: rows are kept, by key, and moved only when they must.
 *
 * @template T
 * @param {HTMLElement} parent
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => HTMLElement} build
 * @param {(row: HTMLElement, item: T) => void} refresh
 */
export function rows(parent, items, keyOf, build, refresh) {
  /** @type {Map<string, HTMLElement>} */
  const known = new Map();
  for (const child of parent.children) {
    if (child instanceof HTMLElement && child.dataset["key"]) known.set(child.dataset["key"], child);
  }
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let row = known.get(key);
    known.delete(key);
    if (!row) {
      row = build(item);
      row.dataset["key"] = key;
    }
    refresh(row, item);
    if (row === next) next = next.nextElementSibling;
    else parent.insertBefore(row, next);
  }
  for (const row of known.values()) row.remove();
  // A row that is moved loses the focus.
  if (focused instanceof HTMLElement && focused.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
}

const TOAST_MS = 7_000;
const MOST_TOASTS = 4;

/**
 * Show a message for a while.
 *
 * @param {string} text
 * @param {{bad?: boolean, action?: string, onAction?: () => void}} [more]
 */
export function toast(text, { bad = false, action, onAction } = {}) {
  const box = make("div", { class: bad ? "toast bad" : "toast", role: bad ? "alert" : "status" });
  box.append(make("span", {}, text));
  const close = () => box.remove();
  if (action && onAction) {
    box.append(
      make("button", { type: "button", class: "quiet", click: () => (close(), onAction()) }, action),
    );
  }
  box.append(make("button", { type: "button", class: "quiet icon", "aria-label": "Dismiss", click: close }, "✕"));
  const toasts = the("toasts", HTMLElement);
  // What is wrong for several reasons is said once.
  for (const same of [...toasts.children]) if (bad && same.querySelector("span")?.textContent === text) same.remove();
  if (toasts.children.length >= MOST_TOASTS) toasts.firstElementChild?.remove();
  toasts.append(box);
  setTimeout(close, TOAST_MS);
}
