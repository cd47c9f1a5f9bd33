/** The position of a client in a stream, over all its connections. */

import { parseFields } from "./event.js";

/** After a closing frame: the stream takes 10 s of silence for the end, which a proxy may never pass on. */
const CLOSING_HEARTBEAT_MS = 4000;

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
  /** True if another connection of this client has replaced the present one. */
  isReplaced = false;
  resumeSecret = "";
  #snapshots: boolean;

  /**
   * @param after the event id to resume after; empty for none.
   * @param snapshots true if the stream begins with the current state, so that no id is a repeat.
   */
  constructor(after: string, snapshots: boolean) {
    this.id = after;
    this.#snapshots = snapshots;
  }

  /** Forget what belongs to one connection. */
  begin(): void {
    this.isReplaced = false;
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
    const text = (key: string) => String(fields[key] ?? "");
    if (name === "connected") {
      // From here on no event may be missed, even if none arrives before the connection breaks.
      if (!this.#snapshots) this.id ||= text("head");
      this.heartbeatMs = 1000 * (Number(fields["heartbeat_seconds"]) || 0);
      this.resumeSecret = text("resume_secret");
    } else if (name === "gap") {
      this.id = text("resumed_after") || text("requested") || this.id; // another log may begin at smaller ids
    } else if (name === "closing") {
      this.isReplaced = text("reason") === "replaced";
      this.heartbeatMs = CLOSING_HEARTBEAT_MS;
    }
  }
}

/** Return true for an id of streamd: `{milliseconds:013d}-{sequence:06d}`. */
function isEventId(id: string): boolean {
  return /^\d{13}-\d{6}$/.test(id);
}
