/** Counts of what a page receives: the same for all clients. */

const NUMBERS_MAX = 20_000;

/**
 * The events of one stream, which publish `{"n": 17, "pad": "…"}`.
 *
 * The arrays have a fixed size, so that the heap does not grow with the number of events.
 */
export class Record {
  received = 0;
  /** Numbers that have arrived at least once. */
  distinct = 0;
  /** Calls of the handler with something else, such as an empty message. */
  other = 0;
  /** Why the client has given up; empty while it has not. */
  ended = "";
  /** As streamd-client tells; empty for the others. */
  transport = "";
  #startedAt = Date.now();
  #lastAt = 0;
  #wanted = Infinity;
  #reached = () => {};
  #seen = new Uint8Array(NUMBERS_MAX);
  #at = new Float64Array(NUMBERS_MAX);

  event(data) {
    const number = numberOf(data);
    if (number === null) {
      this.other += 1;
      return;
    }
    this.received += 1;
    if (this.#seen[number]++ > 0) return;
    this.distinct += 1;
    this.#at[number] = this.#lastAt = Date.now();
    if (this.distinct >= this.#wanted) this.#reached();
  }

  end(reason) {
    this.ended ||= String(reason) || "no reason";
  }

  /** Time from the start to the last event (ms). */
  get elapsedMs() {
    return this.#lastAt - this.#startedAt;
  }

  /** Wait until a number of different events have arrived, or a time (ms) is over. */
  async reach(distinct, waitMs) {
    this.#wanted = distinct;
    if (this.distinct >= distinct) return;
    await new Promise((resolve) => {
      this.#reached = resolve;
      setTimeout(resolve, waitMs);
    });
  }

  /** Time at which a number has first arrived (ms since 1970); 0 if it has not. */
  at(number) {
    return this.#at[number];
  }
}

function numberOf(data) {
  try {
    return JSON.parse(data).n ?? null;
  } catch {
    return null;
  }
}

/**
 * Offer a client to the driver.
 *
 * @param open opens a stream, and tells the record of its events.
 */
export function offer(open) {
  const records = [];
  window.bench = {
    records,
    start(url, options) {
      const record = new Record();
      records.push(record);
      void open(url, options, record);
    },
  };
}

/** Fetch a bearer token, as an application does. */
export async function fetchToken() {
  return await (await fetch("/bench/token", { cache: "no-store" })).text();
}

/** Add the position to resume after to a URL, for clients that have no option for it. */
export function resumeAfter(url, after) {
  return after ? `${url}&last_event_id=${after}` : url;
}

/** Record the events of an EventSource, or of a class with its interface. */
export function followSource(source, record) {
  source.addEventListener("message", (event) => record.event(event.data));
  source.onerror = () => source.readyState === 2 && record.end("readyState is CLOSED");
}
