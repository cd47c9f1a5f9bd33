/** `ws`, a WebSocket for Node, which reconnects as its users do: with the last event id that it has seen. */

import { WebSocket } from "ws";

const PAUSE_MS = 250;

export function follow(url, { record, end }) {
  const target = new URL(url);
  target.protocol = target.protocol.replace("http", "ws");
  connect();

  function connect() {
    const socket = new WebSocket(target);
    let pauseMs = PAUSE_MS;
    socket.on("open", () => record("open", "", ""));
    socket.on("message", (text) => {
      const { control, type, data, id = "" } = JSON.parse(text);
      if (id) target.searchParams.set("last_event_id", id);
      record(control ?? (type || "message"), typeof data === "string" ? data : JSON.stringify(data ?? null), id);
    });
    socket.on("unexpected-response", (_request, { statusCode, headers }) => {
      record("rejected", String(statusCode), "");
      pauseMs = 1000 * Number(headers["retry-after"] ?? 0);
      socket.terminate();
    });
    socket.on("error", () => {}); // "close" follows
    socket.on("close", (code) => (code === 1000 ? end("the server has closed the socket") : setTimeout(connect, pauseMs)));
  }
}
