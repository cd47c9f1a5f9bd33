/**
 * A program that follows one task by the browser client to its end, over each transport and over a ladder without
 * Server-Sent Events, and prints what it has received as one JSON.
 *
 *   node --experimental-websocket node_task_follower.mjs FOLDER URL HEADERS NAMES
 *
 * FOLDER has the built modules, URL is the task's stream, HEADERS those of each request, as JSON, and NAMES those of the
 * transports, with `ladder`. By name it prints {events, status, transport}: status is that of the last answer, 204 at the end.
 * The WebSocket of Node 20 reports no refused handshake, so that transport is left at the last event.
 */

const [folder, url, headers, names] = process.argv.slice(2);
const { createStream } = await import(`${folder}/streamd.js`);
const { ladder, poll, sse, websocket } = await import(`${folder}/ladder.js`);

const only = (transport) => ({ firstBlockMs: null, choose: () => transport, learn: () => false });
const choosers = {
  sse: () => only(sse),
  websocket: () => only(websocket),
  poll: () => only(poll),
  ladder: () => ladder({ transports: [websocket, poll] }),
};

async function follow(name) {
  const transports = choosers[name]();
  const stream = createStream(url, { headers: JSON.parse(headers), transports, snapshots: true });
  const events = [];
  for await (const { id, type, data } of stream) {
    events.push({ id, type, data });
    if (type === "complete" && stream.state.transport === "websocket") break;
  }
  stream.disconnect();
  return [name, { events, status: stream.state.status, transport: stream.state.transport }];
}

console.log(JSON.stringify(Object.fromEntries(await Promise.all(names.split(",").map(follow)))));
