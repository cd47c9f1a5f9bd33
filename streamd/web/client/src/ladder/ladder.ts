/**
 * The ladder of transports: the best one that works here.
 *
 * | course of an attempt                                               | what follows                             |
 * | ------------------------------------------------------------------ | ---------------------------------------- |
 * | refused, and not by a problem of streamd (its problems have codes) | the next transport, at once              |
 * | no first block in time                                             | the next one, at once; see below         |
 * | broke within 10 s of its opening, 3 times in succession            | the next one, at once                    |
 * | the server cannot be reached, is busy, or rejects the request      | the same one: others would not do better |
 * | an orderly end, or an end after more than 10 s                     | the same one                             |
 *
 * A transport that has worked before is given up only after 3 attempts in succession without a first block: a server that
 * is slow after a restart must not move everybody down. Below the last transport follows the first one, after a backoff, or
 * the end of the stream if each was refused.
 *
 * A transport that has worked is remembered in `sessionStorage` for the next page. A connection that ends 10 minutes or more
 * after the step down is followed by an attempt with the best transport; polling ends its connection for that.
 */

import { StreamFailure } from "../failure.js";
import { isOffline } from "../page.js";
import type { Block } from "../parser.js";
import { sse } from "../sse.js";
import type { Transport, TransportChooser } from "../transport.js";
import { poll } from "./poll.js";
import { websocket } from "./websocket.js";

export interface LadderOptions {
  /** The transports, the best first; `[sse, websocket, poll]` by default. */
  readonly transports?: readonly Transport[];
  /** Maximum wait from the start of an attempt to its first block (ms); 5,000 by default. */
  readonly firstBlockMs?: number;
}

const KEY = "streamd transport"; // in sessionStorage: a name, and when to try better ones (ms since 1970)
const BREAKS_MAX = 3; // in succession
const BETTER_MS = 600_000; // from a step down, until better transports are tried again
const SHORT_MS = 10_000; // a connection that breaks sooner counts as a break
const NO_SUCH_TRANSPORT: readonly (number | null)[] = [404, 405]; // of a problem: the stream is there over SSE alone

/** Choose the best transport that works. Each stream needs a ladder of its own; it must be a stream of GET requests. */
export function ladder(options: LadderOptions = {}): TransportChooser {
  const { transports = [sse, websocket, poll], firstBlockMs = 5000 } = options;
  const [remembered, time] = guard(() => sessionStorage.getItem(KEY))?.split(" ") ?? [];
  let betterAt = Number(time); // when better rungs are to be tried (ms since 1970)
  let rung = betterAt > Date.now() ? Math.max(0, transports.findIndex(({ name }) => name === remembered)) : 0; // the present one
  let hasWorked = rung > 0; // the present rung, since it is the present one
  let breaks = 0; // in succession, on this rung
  let refusals = 0; // of rungs, in succession
  let startedAt = 0; // the present attempt (ms since 1970)

  function go(to: number): void {
    rung = to;
    breaks = 0;
    hasWorked = false;
    betterAt = Date.now() + BETTER_MS;
  }

  /** Take a transport's first block as the proof that it works. */
  function observe(transport: Transport): Transport {
    const { name } = transport;
    return {
      name,
      connect: (request, sink) => {
        const take = (block: Block) => {
          if (!hasWorked) {
            refusals = 0;
            hasWorked = true;
            guard(() => sessionStorage.setItem(KEY, `${name} ${betterAt}`));
          }
          sink.take(block);
        };
        return transport.connect(request, { ...sink, take });
      },
    };
  }

  return {
    firstBlockMs,
    choose() {
      startedAt = Date.now();
      return observe(transports[rung]!);
    },
    learn({ failure, heard, openMs }) {
      if (rung > 0 && Date.now() >= betterAt) {
        go(0);
        return true;
      }
      const isLate = !heard && Date.now() - startedAt >= firstBlockMs;
      const isBreak = isLate || (openMs > 0 && openMs < SHORT_MS);
      const isRefused = failure?.fatal && !isAnswer(failure, transports[rung]!);
      breaks = failure && isBreak && !isOffline() ? breaks + 1 : 0;
      if (!isRefused && breaks < (isLate && !hasWorked ? 1 : BREAKS_MAX)) return false;
      go((rung + 1) % transports.length);
      refusals = isRefused ? refusals + 1 : 0;
      // At once, but after a round; and not if each was refused, which ends the stream.
      return isRefused ? refusals % transports.length > 0 : rung > 0;
    },
  };
}

/** Return true for a rejection by streamd itself, which other transports would meet too. */
function isAnswer({ code, status }: StreamFailure, { name }: Transport): boolean {
  return code !== "" && (name === "sse" || !NO_SUCH_TRANSPORT.includes(status));
}

/** Use a storage, which may be absent, forbidden or full. */
function guard<T>(use: () => T): T | undefined {
  try {
    return use();
  } catch {
    return undefined;
  }
}
