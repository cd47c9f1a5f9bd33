/**
 * `@microsoft/fetch-event-source`, with handlers as in its README.
 *
 * Without them it does not come back after an orderly end, and repeats a request for ever that was answered 204 or rejected.
 */

import { EventStreamContentType, fetchEventSource } from "@microsoft/fetch-event-source";

class RetriableError extends Error {}
class FatalError extends Error {}

export function follow(url, { record, end }) {
  fetchEventSource(url, {
    openWhenHidden: true,
    async onopen(response) {
      if (response.status === 429 || response.status >= 500) throw new RetriableError();
      if (response.status !== 200 || !response.headers.get("content-type").startsWith(EventStreamContentType)) {
        throw new FatalError(`the server answered ${response.status}`);
      }
      record("open", "", "");
    },
    onmessage: ({ event, data, id }) => record(event || "message", data, id),
    onclose() {
      throw new RetriableError();
    },
    onerror(error) {
      if (error instanceof FatalError) throw error;
    },
  }).catch((error) => end(error.message));
}
