// The page: one stream for everything, and the parts that show it.

import { Figures } from "./figures.js";
import * as format from "./format.js";
import { LogList } from "./log.js";
import { FIGURES_TOPIC, fromQuery, fromText, selects, toQuery, toText, withFigures } from "./selection.js";
import { Server } from "./server.js";
import { SignIn } from "./signin.js";
import { StreamPanel } from "./panel.js";
import { Stream } from "./stream.js";
import { TryIt } from "./tryit.js";

const HISTORY_MS = 600_000; // ten minutes: enough to fill the charts and to begin the log
const FIGURES_WAIT_MS = 5000; // after connecting; by then a running demo source has published
const UPDATE_MS = 500;

let selection = fromQuery(location.search);
let openings = 0;

const figures = new Figures();
const log = new LogList();
const tryIt = new TryIt();
const stream = new Stream({
  state: () => showState(),
  event: take,
  gap: ({ requested, resumed_after: resumed }) => log.notice("gap", gapText(requested, resumed)),
  resumed: (seconds) => log.notice("resumed", `Reconnected ${format.duration(seconds)} after the last message from the server`),
  closing: (reason) => log.notice("closing", `The server ends this connection: ${reason}`),
});
const panel = new StreamPanel(stream);
const server = new Server();
const signIn = new SignIn(() => open());

function take(event) {
  if (event.topics.includes(FIGURES_TOPIC)) figures.push(event.id, event.data);
  if (!event.topics.length || event.topics.some((topic) => selects(selection, topic))) log.add(event);
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
  stream.open(withFigures(selection), start);
}

function showState() {
  panel.showState();
  signIn.show(stream.state === "rejected" && stream.status === 401);
  log.emptyText = emptyText();
}

function emptyText() {
  if (stream.state === "rejected") return `The server rejected this selection: ${stream.reason}`;
  if (stream.state === "connected") return `Nothing was published on “${toText(selection)}” in the last ten minutes`;
  return "Waiting for the stream";
}

function tick() {
  if (document.hidden) return;
  panel.showFigures();
  const connected = stream.state === "connected";
  figures.draw(connected, connected && performance.now() - stream.enteredAt > FIGURES_WAIT_MS);
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
setInterval(tick, UPDATE_MS);
open();
