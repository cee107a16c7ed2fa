/**
 * The live connection: authenticates, keeps its place in the log, and comes back where it was.
 *
 * The place (`positions`) moves with each update that comes in order. What was missed comes after a reply
 * that says how many there are, and may be older than the place; only when all of them are there is the
 * reply's place taken over. So a connection that breaks half-way asks for the same again.
 */

/** @typedef {import("./types.js").Positions} Positions */
/** @typedef {import("./types.js").Update} Update */
/** @typedef {import("./types.js").FromClient} FromClient */
/** @typedef {import("./types.js").FromServer} FromServer */

const FIRST_DELAY_MS = 300;
const LONGEST_DELAY_MS = 10_000;
const HANDSHAKE_MS = 15_000;
const SUBPROTOCOL = "tasktape.v1.json";

export class Live {
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #silence;
  /** @type {[number, number] | null} */ #window = null;
  /** @type {Positions} */ #adopt = {};
  #missed = 0;
  #attempts = 0;
  #ended = false;
  #silenceMs = HANDSHAKE_MS;

  /**
   * @param {Object} options
   * @param {string} options.token
   * @param {Positions} options.positions the place that the snapshot was read at
   * @param {(update: Update) => void} options.onUpdate
   * @param {(live: boolean) => void} options.onStatus
   * @param {() => void} options.onResync too much was missed: a snapshot has to be read again
   * @param {(reason: string) => void} options.onRefused the server wants no more of us
   */
  constructor(options) {
    this.options = options;
    this.positions = { ...options.positions };
  }

  start() {
    window.addEventListener("online", this.#now);
    document.addEventListener("visibilitychange", this.#now);
    this.#connect();
  }

  stop() {
    this.#ended = true;
    window.removeEventListener("online", this.#now);
    document.removeEventListener("visibilitychange", this.#now);
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#socket?.close(1000);
  }

  /** Connect at once, if a wait is all that is going on. */
  #now = () => {
    if (this.#ended || this.#socket || document.visibilityState !== "visible") return;
    clearTimeout(this.#timer);
    this.#connect();
  };

  #connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws`, SUBPROTOCOL);
    this.#socket = socket;
    this.#missed = 0;
    this.#silenceMs = HANDSHAKE_MS;
    this.#heard();
    socket.onopen = () =>
      this.#say({
        id: 1,
        type: "authenticate",
        token: this.options.token,
        features: ["batch"],
        since: this.positions,
      });
    socket.onmessage = (event) => {
      if (socket !== this.#socket) return;
      this.#heard();
      /** @type {FromServer | FromServer[]} */
      const said = JSON.parse(event.data);
      for (const message of Array.isArray(said) ? said : [said]) this.#take(message);
    };
    socket.onclose = (event) => {
      if (socket === this.#socket) this.#closed(event.code, event.reason);
    };
  }

  /** Restart the clock that tells a dead connection from a quiet one. */
  #heard() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      const socket = this.#socket;
      this.#closed(0, "silence");
      socket?.close();
    }, this.#silenceMs);
  }

  /** @param {FromClient} message */
  #say(message) {
    this.#socket?.send(JSON.stringify(message));
  }

  /** @param {FromServer} message */
  #take(message) {
    switch (message.type) {
      case "ping":
        this.#say({ type: "pong" });
        break;
      case "authenticated":
        this.#attempts = 0;
        this.#silenceMs = message.ping_s * 2_500;
        this.#begin(message);
        this.options.onStatus(true);
        break;
      case "subscribed":
        this.#begin(message);
        break;
      case "update":
        this.#update(message);
        break;
      case "resync":
        this.options.onResync();
        break;
      case "goodbye":
        this.#window = message.retry_after_ms;
        break;
    }
  }

  /** @param {{missed: number, positions: Positions}} reply */
  #begin(reply) {
    this.#missed = reply.missed;
    this.#adopt = reply.positions;
    if (this.#missed === 0) this.positions = { ...this.#adopt };
  }

  /** @param {Update} update */
  #update(update) {
    if (this.#missed > 0) {
      this.#missed -= 1;
      if (this.#missed === 0) this.positions = { ...this.#adopt };
    } else {
      const [partition = "", offset = ""] = update.position.split(":");
      if (Number(offset) <= (this.positions[partition] ?? -1)) return;
      this.positions[partition] = Number(offset);
    }
    this.options.onUpdate(update);
  }

  /** @param {number} code @param {string} reason */
  #closed(code, reason) {
    this.#socket = null;
    clearTimeout(this.#silence);
    if (this.#ended) return;
    this.options.onStatus(false);
    if (code >= 4500 && code < 5000) {
      this.stop();
      this.options.onRefused(reason);
      return;
    }
    this.#timer = setTimeout(() => this.#connect(), this.#delayMs());
  }

  #delayMs() {
    const window = this.#window;
    this.#window = null;
    if (window && this.#attempts === 0) return window[0] + Math.random() * (window[1] - window[0]);
    const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempts);
    this.#attempts += 1;
    return longest * (0.5 + Math.random() / 2);
  }
}

/** @param {string} position @param {Positions} positions */
export function isAfter(position, positions) {
  const [partition = "", offset = ""] = position.split(":");
  return Number(offset) > (positions[partition] ?? -1);
}
