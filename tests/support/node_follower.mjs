/**
 * A program that reads events over each transport of the browser client, and prints them as one JSON.
 *
 *   node --experimental-websocket node_follower.mjs FOLDER URL COUNT HEADERS
 *
 * FOLDER has the built modules, URL is the stream's, COUNT the number of events, HEADERS those of each request, as JSON. By
 * transport it prints {events, sent, refused}: the events, the id of an event that it published while it was connected, and
 * the code with which another one was refused.
 */

const [folder, url, count, headers] = process.argv.slice(2);
const { createStream } = await import(`${folder}/streamd.js`);
const { poll, sse, websocket } = await import(`${folder}/ladder.js`);

async function follow(transport) {
  const transports = { firstBlockMs: null, choose: () => transport, learn: () => false };
  const stream = createStream(url, { topics: ["a"], after: "earliest", headers: JSON.parse(headers), transports });
  const events = [];
  for await (const event of stream) {
    if (event.id) events.push(event);
    if (events.length === Number(count)) break;
  }
  const sent = await stream.send({ topic: "sent", data: transport.name });
  const refused = await stream.send({ topic: "tasks/1" }).catch((failure) => failure.code);
  stream.disconnect();
  return [transport.name, { events, sent, refused }];
}

console.log(JSON.stringify(Object.fromEntries(await Promise.all([sse, websocket, poll].map(follow)))));
