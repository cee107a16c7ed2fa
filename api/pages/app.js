/** The page: signs in, and opens the workspace of who did. */

import { attempt } from "./attempts.js";
import { the } from "./dom.js";
import { Api, ApiError, lineOf } from "./http.js";
import { limitFields } from "./text.js";
import { Workspace } from "./workspace.js";

const TOKEN_KEY = "tasktape.token";
const RETRY_MS = 2_000;

/** @type {Workspace | null} */
let workspace = null;
/** Which attempt to sign in is the last one. */
let signing = 0;

/** @param {string} [reason] */
function signOut(reason) {
  workspace?.close();
  workspace = null;
  localStorage.removeItem(TOKEN_KEY);
  askToken(reason);
}

/** @param {string} [reason] */
function askToken(reason) {
  the("sign-in", HTMLElement).hidden = false;
  const error = the("sign-in-error", HTMLElement);
  error.hidden = !reason;
  error.textContent = reason ?? "";
  the("token", HTMLTextAreaElement).focus();
}

/** @param {string} token */
async function signIn(token) {
  signing += 1;
  const mine = signing;
  const api = new Api(token);
  let me;
  try {
    me = await api.ask("GET", "/api/me");
  } catch (error) {
    if (mine !== signing) return;
    askToken(lineOf(error));
    if (error instanceof ApiError && error.status === 401) localStorage.removeItem(TOKEN_KEY);
    else setTimeout(() => mine === signing && void signIn(token), RETRY_MS);
    return;
  }
  if (mine !== signing) return;
  localStorage.setItem(TOKEN_KEY, token);
  the("token", HTMLTextAreaElement).value = "";
  the("sign-in", HTMLElement).hidden = true;
  api.onUnauthenticated = () => signOut("The token has expired or is no longer valid. Sign in again.");
  workspace = new Workspace(api, me, signOut);
  await attempt(() => /** @type {Workspace} */ (workspace).open());
}

/** The token in the address, which is taken out of it at once: addresses are shown, shared and kept. */
function tokenInAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token !== null) history.replaceState(null, "", location.pathname + location.search);
  return token;
}

function begin() {
  const token = tokenInAddress() ?? localStorage.getItem(TOKEN_KEY);
  if (token) void signIn(token);
  else askToken();
}

the("sign-in-form", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  void signIn(the("token", HTMLTextAreaElement).value.trim());
});
window.addEventListener("hashchange", () => {
  const token = tokenInAddress();
  if (token === null) return;
  workspace?.close();
  workspace = null;
  void signIn(token);
});
limitFields();
begin();
