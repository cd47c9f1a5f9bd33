/**
 * The ladder of transports: the best one that works here.
 *
 * | course of an attempt                                              | what follows                              |
 * | ----------------------------------------------------------------- | ----------------------------------------- |
 * | refused, and not by a problem of streamd (its problems have codes) | the next transport, at once               |
 * | no first block in time                                            | the next one, at once; see below          |
 * | broke within 10 s of its opening, 3 times in succession           | the next one, at once                     |
 * | the server cannot be reached, is busy, or rejects the request     | the same one: others would not do better  |
 * | an orderly end, or an end after more than 10 s                    | the same one                              |
 *
 * A transport that has worked before is given up only after 3 attempts in succession without a first block: a server that
 * is slow after a restart must not move everybody down. Below the last transport follows the first one, after a backoff, or
 * the end of the stream if each was refused. A transport that worked is remembered for the next page. Better ones are tried
 * again after 10 minutes, then 20 and so on: while polling at the end of a poll, else with the next connection. After a
 * round in which no transport worked, the fault may have been the server's, so better ones are tried again after 30 s.
 */

import { parseFields } from "../event.js";
import { sse } from "../sse.js";
import type { StreamFailure } from "../failure.js";
import type { Block } from "../parser.js";
import type { ConnectionOutcome, Transport, TransportChooser } from "../transport.js";
import { poll } from "./poll.js";
import { websocket } from "./websocket.js";

export interface LadderOptions {
  /** The transports, the best first; `[sse, websocket, poll]` by default. */
  readonly transports?: readonly Transport[];
  /** Maximum wait from the start of an attempt to its first block (ms); 5,000 by default. */
  readonly firstBlockMs?: number;
  /** The first wait before better transports are tried again (ms); 600,000 by default. It doubles up to 8 times that. */
  readonly retryBetterMs?: number;
  /** Remembers over pages which transport works, by origin; `sessionStorage` by default, null for none. */
  readonly storage?: Pick<Storage, "getItem" | "setItem"> | null;
}

const BREAKS_MAX = 3; // in succession
const SHORT_MS = 10_000; // a connection that breaks sooner counts as a break
const DOUBT_MS = 30_000;
const GROWTH_MAX = 8;
const NO_SUCH_TRANSPORT: readonly (number | null)[] = [404, 405]; // of a problem: the stream is there over SSE alone
const DUE = new Error("a better transport is to be tried");

const remembered = new Map<string, string>(); // as in the storage, for pages without one

/** Choose the best transport that works. Each stream needs a ladder of its own; it must be a stream of GET requests. */
export function ladder(options: LadderOptions = {}): TransportChooser {
  return new Ladder(options);
}

class Ladder implements TransportChooser {
  readonly firstBlockMs: number;
  #options: LadderOptions;
  #rungs: readonly Transport[];
  #at = 0; // the present rung
  #origin = "";
  #startedAt = 0; // the present attempt (ms since 1970)
  #breaks = 0; // in succession, on this rung
  #known = new Set<number>(); // rungs that have worked since they were last given up
  #refused = new Set<number>(); // rungs that were refused since one has worked
  #rounds = 0; // without one that worked
  #betterAt = Infinity; // when better rungs are to be tried (ms since 1970)
  #betterMs: number;

  constructor(options: LadderOptions) {
    this.#options = options;
    this.firstBlockMs = options.firstBlockMs ?? 5000;
    this.#betterMs = this.#leastMs;
    this.#rungs = (options.transports ?? [sse, websocket, poll]).map((transport, at) => this.#observe(transport, at));
  }

  choose(url: URL): Transport {
    if (url.origin !== this.#origin) this.#recall(url.origin);
    if (this.#isDue) {
      this.#at = this.#breaks = 0;
      this.#betterAt = Infinity;
    }
    this.#startedAt = Date.now();
    return this.#rungs[this.#at]!;
  }

  learn({ transport, failure, heard, openMs }: ConnectionOutcome): boolean {
    if (!failure || isOffline()) {
      this.#breaks = 0;
      return this.#isDue;
    }
    const waitedMs = Date.now() - this.#startedAt;
    // After a longer wait the computer was asleep.
    const isLate = !heard && waitedMs >= this.firstBlockMs && waitedMs < 2 * this.firstBlockMs;
    if (failure.fatal && !isAnswer(failure, transport)) {
      this.#refused.add(this.#at);
      return this.#stepDown(true);
    }
    if (isLate && !this.#known.has(this.#at)) return this.#stepDown(false);
    const isBreak = isLate || (openMs > 0 && openMs < SHORT_MS);
    this.#breaks = isBreak ? this.#breaks + 1 : 0;
    return this.#breaks >= BREAKS_MAX && this.#stepDown(false);
  }

  /** Go to the next rung; return true if it may be tried without a wait. */
  #stepDown(isFatal: boolean): boolean {
    this.#breaks = 0;
    this.#known.delete(this.#at);
    this.#at = (this.#at + 1) % this.#rungs.length;
    if (this.#at > 0) return true;
    this.#rounds += 1;
    if (this.#refused.size < this.#rungs.length) return isFatal; // without a wait, it would end the stream
    this.#refused.clear();
    return false;
  }

  /** Take a transport's first block as the proof that it works, and end polling when better ones are to be tried. */
  #observe(transport: Transport, at: number): Transport {
    return {
      name: transport.name,
      connect: async (request, sink) => {
        let hasWorked = false;
        const take = (block: Block) => {
          if (!hasWorked) this.#keep(at);
          hasWorked = true;
          sink.take(block);
        };
        const ready = async () => {
          await sink.ready();
          if (this.#isDue && transport.name === "poll") throw DUE; // between two polls, so that nothing is lost
        };
        try {
          return await transport.connect(request, { ...sink, take, ready });
        } catch (error) {
          if (error === DUE) return false;
          throw error;
        }
      },
    };
  }

  get #isDue(): boolean {
    return Date.now() >= this.#betterAt;
  }

  get #leastMs(): number {
    return this.#options.retryBetterMs ?? 600_000;
  }

  // --- memory -------------------------------------------------------------------------------------

  /** Remember a rung that works. */
  #keep(at: number): void {
    const isSure = this.#rounds === 0;
    this.#refused.clear();
    this.#known.add(at);
    this.#rounds = 0;
    if (at === 0) {
      this.#betterAt = Infinity;
      this.#betterMs = this.#leastMs;
    } else if (this.#betterAt === Infinity) {
      this.#betterAt = Date.now() + (isSure ? this.#betterMs : Math.min(DOUBT_MS, this.#betterMs));
      if (isSure) this.#betterMs = Math.min(2 * this.#betterMs, GROWTH_MAX * this.#leastMs);
    } else return;
    const value = JSON.stringify({ name: this.#rungs[at]!.name, at: this.#betterAt, ms: this.#betterMs });
    remembered.set(this.#key, value);
    guard(() => this.#storage?.setItem(this.#key, value));
  }

  /** Begin where another stream or page of this origin left off. */
  #recall(origin: string): void {
    this.#origin = origin;
    const { name, at, ms } = parseFields(remembered.get(this.#key) ?? guard(() => this.#storage?.getItem(this.#key)) ?? "");
    const rung = this.#rungs.findIndex((transport) => transport.name === name);
    if (rung <= 0 || typeof at !== "number" || typeof ms !== "number") return;
    this.#at = rung;
    this.#known.add(rung);
    this.#betterAt = at;
    this.#betterMs = ms;
  }

  get #key(): string {
    return `streamd-transport ${this.#origin}`;
  }

  get #storage() {
    return this.#options.storage === undefined ? sessionStorage : this.#options.storage;
  }
}

/** Return true for a rejection by streamd itself, which other transports would meet too. */
function isAnswer({ code, status }: StreamFailure, { name }: Transport): boolean {
  return code !== "" && (name === "sse" || !NO_SUCH_TRANSPORT.includes(status));
}

function isOffline(): boolean {
  return typeof navigator !== "undefined" && navigator.onLine === false;
}

/** Use a storage, which may be absent, forbidden or full. */
function guard<T>(use: () => T): T | undefined {
  try {
    return use();
  } catch {
    return undefined;
  }
}
