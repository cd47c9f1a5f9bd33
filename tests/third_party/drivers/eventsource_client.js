/** `eventsource-client`, in Node. It closes itself at an answer 204, and tries again after every other one. */

import { createEventSource } from "eventsource-client";

export async function follow(url, { record, end }) {
  const source = createEventSource({ url, onConnect: () => record("open", "", "") });
  for await (const { event = "message", data, id = "" } of source) record(event, data, id);
  end("the library has closed the stream");
}
