// Expands recurrence rules with ical.js: a JSON object a line in, a JSON object a line out.
// In: {"rule": "FREQ=…", "start": "2026-12-01T09:00:00", "most": 12}; out: {"dates": ["…"]}.
import { createInterface } from "node:readline";
import ICAL from "ical.js";

const expand = ({ rule, start, most }) => {
  const dates = ICAL.Recur.fromString(rule).iterator(ICAL.Time.fromString(start));
  const found = [];
  for (let date = dates.next(); date && found.length < most; date = dates.next()) {
    found.push(date.toString());
  }
  return found;
};

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify({ dates: expand(JSON.parse(line)) }));
}
