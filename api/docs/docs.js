/** The reference of the API: Swagger UI with the caller's token, a search, and links that open what they name. */

const TOKEN_KEY = "tasktape.token";
const SCHEMAS = "#/schemas/";
/** Drawing all operations takes a slow machine tens of seconds. */
const WAIT_MS = 60_000;
/** The height of a closed schema, about. */
const SCHEMA_PX = 48;

/** Keeps the operations that have every word of the phrase in their path, their texts or their parameters. */
const searching = () => ({
  fn: {
    /** @param {any} tagged @param {string} phrase */
    opsFilter(tagged, phrase) {
      const words = phrase.toLowerCase().split(/\s+/).filter(Boolean);
      return tagged
        .map((/** @type {any} */ tag, /** @type {string} */ name) =>
          tag.update("operations", (/** @type {any} */ operations) =>
            operations.filter((/** @type {any} */ each) => {
              const text = `${name} ${each.get("method")} ${each.get("path")} ${JSON.stringify(each.get("operation"))}`;
              return words.every((word) => text.toLowerCase().includes(word));
            }),
          ),
        )
        .filter((/** @type {any} */ tag) => tag.get("operations").size > 0);
    },
  },
});

/** Leaves it to `follow` to read the address: Swagger UI takes `_` for a blank, and knows no schemas. */
const following = () => ({
  statePlugins: { layout: { wrapActions: { parseDeepLinkHash: () => () => undefined } } },
});

/**
 * Waits for an element that Swagger UI has yet to draw, until the address changes.
 * @param {() => Element | null | undefined} find
 */
async function drawn(find) {
  const [until, address] = [Date.now() + WAIT_MS, location.hash];
  for (let found = find(); Date.now() < until && location.hash === address; found = find()) {
    if (found) return /** @type {HTMLElement} */ (found);
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
  return null;
}

/** Finds a schema of the list, not one within another. @param {string} name */
const schemaNamed = (name) =>
  [...document.querySelectorAll("section.models .json-schema-2020-12[data-json-schema-level='0']")].find(
    (each) => each.querySelector(".json-schema-2020-12__title")?.textContent?.trim() === name,
  );

/**
 * Scrolls the list towards a schema: of 100 schemas or more, Swagger UI draws only those in view and a few around.
 * @param {number} index
 */
function scrollTowards(index) {
  const list = document.querySelector(".models-scroll");
  const items = [...(list?.querySelectorAll(".models-virtual-item") ?? [])];
  const [first, last] = [items.at(0), items.at(-1)];
  if (!list || !first || !last) return;
  const nearest = index < Number(first.getAttribute("data-index")) ? first : last;
  const { top, height } = nearest.getBoundingClientRect();
  const start = list.scrollTop + top - list.getBoundingClientRect().top;
  const steps = index - Number(nearest.getAttribute("data-index"));
  list.scrollTop = start + steps * Math.min(height, SCHEMA_PX);
}

/** Opens what the address names, and scrolls there. @param {any} ui */
async function follow(ui) {
  const hash = decodeURIComponent(location.hash);
  const shown = ui.specSelectors.specJson();
  let [, kind, name] = hash.split("/");
  if (name === undefined) {
    // The name of an operation or of a schema alone, which addresses had before there was Swagger UI.
    [kind, name] = named(shown.toJS(), hash.replace(/^#\/?/, "")) ?? [];
    if (!kind || !name) return;
    history.replaceState(null, "", `#/${kind}/${name}`);
  }
  if (kind === "schemas") {
    ui.layoutActions.show(["components", "schemas"], true);
    const index = Object.keys(shown.toJS().components.schemas).indexOf(name);
    const schema = await drawn(() => {
      const found = schemaNamed(name);
      if (!found && index >= 0) scrollTowards(index);
      return found;
    });
    // With its fields open: types, limits, values and defaults.
    if (schema?.querySelector(".json-schema-2020-12-body--collapsed"))
      schema.querySelector(/** @type {"button"} */ (".json-schema-2020-12-expand-deep-button"))?.click();
    schema?.scrollIntoView();
    return;
  }
  ui.layoutActions.show(["operations-tag", kind], true);
  ui.layoutActions.show(["operations", kind, name], true);
  (await drawn(() => document.getElementById(`operations-${kind}-${name}`)))?.scrollIntoView();
}

/** @param {any} spec @param {string} name @returns {[string, string] | null} */
function named(spec, name) {
  for (const methods of Object.values(spec.paths))
    for (const operation of Object.values(/** @type {Record<string, any>} */ (methods)))
      if (operation.operationId === name) return [operation.tags[0], name];
  return name in spec.components.schemas ? ["schemas", name] : null;
}

/** Shows in the address which schema was opened last. @param {MouseEvent} event */
function remember(event) {
  const target = /** @type {Element} */ (event.target);
  const schema = target.closest("section.models .json-schema-2020-12-head")?.closest(".json-schema-2020-12");
  const name = schema?.querySelector(".json-schema-2020-12__title")?.textContent?.trim();
  if (name && schemaNamed(name) === schema) history.replaceState(null, "", SCHEMAS + name);
}

/** @param {any} ui */
function begin(ui) {
  const token = localStorage.getItem(TOKEN_KEY);
  const caller = document.getElementById("caller");
  if (token) ui.preauthorizeApiKey("bearer", token);
  if (caller)
    caller.textContent = token
      ? "Requests are sent as whom you signed in as on the page"
      : "Not signed in: “Authorize” takes a token, as `tasktape token --user NAME` prints one";
  void drawn(() => document.querySelector(".operation-filter-input")).then((input) => {
    input?.setAttribute("placeholder", "Search operations");
    input?.setAttribute("aria-label", "Search operations");
  });
  void follow(ui);
  window.addEventListener("hashchange", () => void follow(ui));
  document.addEventListener("click", remember, true);
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", paint);
paint();

const ui = /** @type {any} */ (window)["SwaggerUIBundle"]({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  filter: true,
  docExpansion: "list",
  defaultModelExpandDepth: 2,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  showCommonExtensions: true,
  validatorUrl: null,
  plugins: [searching, following],
  onComplete: () => begin(ui),
});
