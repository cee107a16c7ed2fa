// Runs the page's `live.js` outside of a browser: it is given frames, and says what it made of them.
import { readFileSync } from "node:fs";

const [script = "", given = "[]"] = process.argv.slice(2);
const { Live } = await import(`data:text/javascript,${encodeURIComponent(readFileSync(script, "utf8"))}`);

const said = [];
let socket;

class FakeSocket {
  constructor() {
    socket = this;
  }
  send(frame) {
    said.push(JSON.parse(frame));
  }
  close() {}
}

const nothing = { addEventListener() {}, removeEventListener() {} };
Object.assign(globalThis, { WebSocket: FakeSocket, window: nothing, document: nothing });
globalThis.location = { protocol: "http:", host: "127.0.0.1" };

const told = [];
const live = new Live({
  token: "t",
  positions: { 0: 10 },
  onUpdate: (update) => told.push(update.position),
  onStatus: (isLive) => told.push(isLive),
  onResync: () => told.push("resync"),
  onRefused: (reason) => told.push(reason),
});
live.start();
socket.onopen();
for (const data of JSON.parse(given)) socket.onmessage({ data });
live.stop();
console.log(JSON.stringify({ said, told, positions: live.positions }));
