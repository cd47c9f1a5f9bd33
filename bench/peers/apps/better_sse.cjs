// A broadcast with better-sse as in its documentation: sessions are registered with one channel.
// Usage: node better_sse.cjs HOST PORT BACKLOG
"use strict";

const { createServer } = require("node:http");
const { createChannel, createSession } = require("better-sse");

const channel = createChannel();

async function subscribe(request, response) {
  channel.register(await createSession(request, response));
}

function publish(request, response) {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    channel.broadcast(Buffer.concat(parts).toString());
    response.writeHead(204).end();
  });
}

const server = createServer((request, response) => {
  if (request.method === "POST") publish(request, response);
  else subscribe(request, response);
});

const [host, port, backlog] = process.argv.slice(2);
server.listen({ host, port: Number(port), backlog: Number(backlog) });
process.on("SIGTERM", () => process.exit(0));
