import { CONTROL_NAMES } from "streamd-client";
import { fetchToken } from "./record.js";

/** Return the options of a stream of streamd-client. */
export function streamOptions({ after = "", headers = {}, method = "GET", body = null, backoffMs, token = false }) {
  return {
    headers: async () => ({ ...headers, ...(token && { Authorization: `Bearer ${await fetchToken()}` }) }),
    after,
    method,
    body,
    backoff: { baseMs: backoffMs ?? 1000 },
  };
}

/** Record the events of a stream of streamd-client, and its end. */
export function followStream(stream, record) {
  stream.on((event) => CONTROL_NAMES.includes(event.type) || record.event(event.data));
  stream.onState((state) => {
    record.transport = state.transport ?? "";
    if (state.phase === "closed") record.end(state.failure?.message ?? "the end of the stream");
  });
  return stream.connect().catch(() => {}); // the state has the failure
}

