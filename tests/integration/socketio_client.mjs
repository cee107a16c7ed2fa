// The real `socket.io-client`, driven by lines of JSON: commands come in, what happens goes out.
//
// node socketio_client.mjs PACKAGE URL OPTIONS; commands are ["emit", event, ...arguments], ["ask", event,
// ...arguments] (the acknowledgement is told), ["connect"] and ["close"].

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [packageName, url, options] = process.argv.slice(2);
const { io } = createRequire(import.meta.url)(packageName);
const tell = (...what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const socket = io(url, { reconnectionDelay: 50, reconnectionDelayMax: 500, ...JSON.parse(options) });
socket.on("connect", () => tell("connect", socket.recovered ?? false));
socket.on("disconnect", (reason) => tell("disconnect", reason));
socket.on("connect_error", (error) => tell("connect_error", error.message));
socket.onAny((event, ...args) => tell(event, ...args));

createInterface({ input: process.stdin }).on("line", (line) => {
  const [command, event, ...args] = JSON.parse(line);
  if (command === "emit") socket.emit(event, ...args);
  else if (command === "ask") socket.emit(event, ...args, (answer) => tell("answer", answer));
  else if (command === "transport") tell("transport", socket.io.engine.transport.name);
  else if (command === "connect") socket.connect();
  else socket.close();
}).on("close", () => process.exit(0));
