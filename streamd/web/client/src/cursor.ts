/** The position of a client in a stream, over all its connections. */

import { parseFields } from "./event.js";

/**
 * The last event id, and what the server has told about the stream.
 *
 * Ids of streamd sort as texts: an event at or behind the cursor is a repeat.
 */
export class Cursor {
  /** The last event id; empty before the first. */
  id: string;
  /** The server's reconnection time (ms), by `retry:`. */
  retryMs = 0;
  /** The server's interval of heartbeats (ms); 0 if it tells none. */
  heartbeatMs = 0;
  /** The reason in the last `closing` frame of this connection; empty without one. */
  closing = "";
  resumeSecret = "";
  #snapshots: boolean;

  /**
   * @param start.after the event id to resume after; empty for none.
   * @param start.snapshots true if the stream begins with the current state, so that no id is a repeat.
   */
  constructor(start: { readonly after: string; readonly snapshots: boolean }) {
    this.id = start.after;
    this.#snapshots = start.snapshots;
  }

  /** Forget what belongs to one connection. */
  begin(): void {
    this.closing = "";
    this.heartbeatMs = 0;
  }

  /** Move to an event's id; return false for a repeat. */
  advance(id: string): boolean {
    // An empty id of a foreign server resets the cursor (WHATWG HTML section 9.2.6).
    if (!this.#snapshots && isEventId(id) && isEventId(this.id) && id <= this.id) return false;
    this.id = id;
    return true;
  }

  /** Take a control frame. */
  control(name: string, data: string): void {
    const fields = parseFields(data);
    const text = (key: string) => (typeof fields[key] === "string" ? (fields[key] as string) : "");
    if (name === "connected") {
      // From here on no event may be missed, even if none arrives before the connection breaks.
      if (!this.id && !this.#snapshots) this.id = text("head");
      this.heartbeatMs = 1000 * (Number(fields["heartbeat_seconds"]) || 0);
      this.resumeSecret = text("resume_secret") || this.resumeSecret;
    } else if (name === "gap") {
      this.id = text("resumed_after") || text("requested"); // another log may begin at smaller ids
    } else if (name === "closing") {
      this.closing = text("reason") || "closed";
    }
  }
}

/** Return true for an id of streamd: `{milliseconds:013d}-{sequence:06d}`. */
function isEventId(id: string): boolean {
  return /^\d{13}-\d{6}$/.test(id);
}
