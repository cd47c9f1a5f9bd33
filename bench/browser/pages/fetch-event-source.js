import { EventStreamContentType, fetchEventSource } from "@microsoft/fetch-event-source";
import { fetchToken, offer, resumeAfter } from "./record.js";

class RetriableError extends Error {}
class FatalError extends Error {}

// The handlers are those of its README; without them, it repeats a request that was rejected with 401 for ever, and does not
// come back after an orderly end.
// Its headers are an object, so that the token is that of the start.
offer(async (url, { after, headers = {}, method = "GET", body, token = false }, record) => {
  const sent = token ? { ...headers, Authorization: `Bearer ${await fetchToken()}` } : headers;
  await fetchEventSource(resumeAfter(url, after), {
    headers: sent,
    method,
    body,
    async onopen(response) {
      if (response.ok && response.headers.get("content-type") === EventStreamContentType) return;
      if (response.status >= 400 && response.status < 500 && response.status !== 429) {
        throw new FatalError(`the server answered ${response.status}`);
      }
      throw new RetriableError();
    },
    onmessage: (message) => record.event(message.data),
    onclose() {
      throw new RetriableError();
    },
    onerror(error) {
      if (error instanceof FatalError) throw error;
    },
  }).then(
    () => record.end("the end of the stream"),
    (error) => record.end(error.message),
  );
});
