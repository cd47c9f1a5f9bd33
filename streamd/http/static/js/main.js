// The page: one stream for everything, and the parts that show it.

import { Discovery } from "./discover.js";
import { Figures } from "./figures.js";
import * as format from "./format.js";
import { LogList } from "./log.js";
import { FIGURES_TOPIC, fromQuery, fromText, selects, toQuery, toText, withFigures } from "./selection.js";
import { Server } from "./server.js";
import { StreamPanel } from "./panel.js";
import { Stream } from "./stream.js";
import { TryIt } from "./tryit.js";

const HISTORY_MS = 600_000; // ten minutes: enough to fill the charts and to begin the log
const SETTLED_MS = 700; // after connecting: by then the history has arrived and GET /connections lists this connection
const FIGURES_TYPE = "metrics";
// Event types with a listener from the start; js/discover.js finds others.
const TYPES = [FIGURES_TYPE, "line", "log", "progress", "state", "result"];

let selection = fromQuery(location.search);
let openings = 0;
let settling = null;

const figures = new Figures();
const log = new LogList();
const tryIt = new TryIt();
const stream = new Stream(TYPES, {
  state: () => showState(),
  event: take,
  gap: ({ requested, resumed_after: resumed }) => log.notice("gap", gapText(requested, resumed)),
  resumed: (seconds) => log.notice("resumed", `Reconnected ${format.duration(seconds)} after the last message from the server`),
  closing: (reason) => log.notice("closing", `The server closed the stream: ${reason}`),
});
const panel = new StreamPanel(stream);
const discovery = new Discovery(stream, (event) => {
  stream.countUnseen(1);
  take({ ...event, data: typeof event.data === "string" ? event.data : JSON.stringify(event.data) });
});
const server = new Server(() => stream.connectionId, (answer) => discovery.check(answer.connections));

function take(event) {
  const isFigures = event.type === FIGURES_TYPE;
  if (isFigures) figures.push(event.id, event.data);
  if (!isFigures || selects(selection, FIGURES_TOPIC)) log.add(event);
}

function gapText(requested, resumed) {
  const [from, to] = [requested, resumed].map((id) => format.preciseClock(format.idTime(id)));
  return `Gap: events between ${from} and ${to} are no longer kept (after ${requested}, up to ${resumed})`;
}

// Follow the current selection, with ten minutes of history.
async function open() {
  const opening = (openings += 1);
  document.getElementById("selectors").value = toText(selection);
  tryIt.show(selection.topics.find((topic) => topic !== FIGURES_TOPIC) ?? "logs");
  log.clear();
  // Use the server's clock, which event ids carry; the browser's may be minutes off.
  const now = (await server.ask()) ?? Date.now();
  if (opening !== openings) return;
  const start = format.idAt(now - HISTORY_MS);
  discovery.reset(selection, start);
  stream.open(withFigures(selection), start);
}

function showState() {
  panel.showState();
  clearTimeout(settling);
  if (stream.state === "connected") settling = setTimeout(() => server.ask(), SETTLED_MS);
  log.emptyText = stream.state === "connected" ? `Nothing was published on “${toText(selection)}” in the last ten minutes` : "Waiting for the stream";
}

function tick() {
  stream.watch();
  if (document.hidden) return;
  panel.showFigures();
  figures.draw(stream.state === "connected");
}

document.getElementById("follow").addEventListener("submit", (event) => {
  event.preventDefault();
  selection = fromText(document.getElementById("selectors").value);
  history.pushState(null, "", `?${toQuery(selection)}`);
  open();
});
addEventListener("popstate", () => {
  selection = fromQuery(location.search);
  open();
});
// A page in the back/forward cache must not hold its slot on the server.
addEventListener("pagehide", () => stream.close());
addEventListener("pageshow", (event) => event.persisted && stream.resume());
document.addEventListener("visibilitychange", tick);

document.getElementById("host").textContent = location.host;
setInterval(tick, 500);
open();
