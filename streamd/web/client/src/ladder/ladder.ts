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
 * is slow after a restart must not move everybody down. An attempt during which the computer may have slept counts alike.
 * Below the last transport follows the first one, after a backoff, or the end of the stream if each was refused.
 *
 * A transport that worked is remembered for the next page. Better ones are tried again after 10 minutes, then 20 and so on:
 * while polling at the end of a poll, else with the next connection. After a round in which no transport worked, the fault
 * may have been the server's, so better ones are tried again after 30 s.
 */

import { StreamFailure } from "../failure.js";
import type { Block } from "../parser.js";
import { sse } from "../sse.js";
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

const remembered = new Map<string, string>(); // as in the storage, for pages without one

/** Choose the best transport that works. Each stream needs a ladder of its own; it must be a stream of GET requests. */
export function ladder(options: LadderOptions = {}): TransportChooser {
  return new Ladder(options);
}

class Ladder implements TransportChooser {
  readonly firstBlockMs: number;
  #storage: LadderOptions["storage"];
  #rungs: readonly Transport[];
  #at = 0; // the present rung
  #hasWorked = false; // the present rung, since it is the present one
  #startedAt = 0; // the present attempt (ms since 1970)
  #breaks = 0; // in succession, on this rung
  #refusals = 0; // of rungs, in succession
  #rounds = 0; // without a rung that worked
  #betterAt = Infinity; // when better rungs are to be tried (ms since 1970)
  #betterMs: number;
  #leastMs: number;
  #key = "";

  constructor({ transports = [sse, websocket, poll], firstBlockMs = 5000, retryBetterMs = 600_000, storage }: LadderOptions) {
    this.firstBlockMs = firstBlockMs;
    this.#betterMs = this.#leastMs = retryBetterMs;
    this.#storage = storage;
    this.#rungs = transports.map((transport, at) => this.#observe(transport, at));
  }

  choose(url: URL): Transport {
    const key = `streamd ${url.origin}`;
    if (key !== this.#key) this.#recall(key);
    if (this.#isDue) {
      this.#go(0);
      this.#betterAt = Infinity;
    }
    this.#startedAt = Date.now();
    return this.#rungs[this.#at]!;
  }

  learn({ failure, heard, openMs }: ConnectionOutcome): boolean {
    if (this.#isDue) return true;
    const waitedMs = Date.now() - this.#startedAt;
    const isLate = !heard && waitedMs >= this.firstBlockMs;
    // After a longer wait the computer may have been asleep.
    const isProof = isLate && !this.#hasWorked && waitedMs < 2 * this.firstBlockMs;
    const isBreak = isLate || (openMs > 0 && openMs < SHORT_MS);
    if (failure?.fatal && !this.#isAnswer(failure)) return this.#stepDown(true);
    this.#breaks = failure && isBreak && globalThis.navigator?.onLine !== false ? this.#breaks + 1 : 0;
    return this.#breaks >= (isProof ? 1 : BREAKS_MAX) && this.#stepDown(false);
  }

  /** Go to the next rung; return true if it may be tried without a wait. */
  #stepDown(isRefused: boolean): boolean {
    this.#refusals = isRefused ? this.#refusals + 1 : 0;
    this.#go((this.#at + 1) % this.#rungs.length);
    if (this.#refusals >= this.#rungs.length) {
      this.#refusals = 0;
      return false; // which ends the stream
    }
    if (this.#at > 0) return true;
    this.#rounds += 1;
    return isRefused; // without a wait, it would end the stream
  }

  #go(at: number): void {
    this.#at = at;
    this.#breaks = 0;
    this.#hasWorked = false;
  }

  /** Return true for a rejection by streamd itself, which other transports would meet too. */
  #isAnswer({ code, status }: StreamFailure): boolean {
    return code !== "" && (this.#rungs[this.#at]!.name === "sse" || !NO_SUCH_TRANSPORT.includes(status));
  }

  /** Take a transport's first block as the proof that it works, and end polling when better ones are to be tried. */
  #observe(transport: Transport, at: number): Transport {
    return {
      name: transport.name,
      connect: (request, sink) => {
        let hasWorked = false;
        const take = (block: Block) => {
          if (!hasWorked && !request.signal.aborted) this.#keep(at);
          hasWorked = true;
          sink.take(block);
        };
        const ready = async () => {
          await sink.ready();
          // Between two polls, so that nothing is lost.
          if (this.#isDue && transport.name === "poll") throw new StreamFailure("a better transport is tried");
        };
        return transport.connect(request, { ...sink, take, ready });
      },
    };
  }

  get #isDue(): boolean {
    return Date.now() >= this.#betterAt;
  }

  // --- memory -------------------------------------------------------------------------------------

  /** Remember a rung that works. */
  #keep(at: number): void {
    const isSure = this.#rounds === 0;
    this.#rounds = this.#refusals = 0;
    this.#hasWorked = true;
    if (at === 0) {
      this.#betterAt = Infinity;
      this.#betterMs = this.#leastMs;
    } else if (this.#betterAt === Infinity) {
      this.#betterAt = Date.now() + (isSure ? this.#betterMs : DOUBT_MS);
      if (isSure) this.#betterMs = Math.min(2 * this.#betterMs, GROWTH_MAX * this.#leastMs);
    }
    const value = `${this.#rungs[at]!.name} ${this.#betterAt} ${this.#betterMs}`;
    remembered.set(this.#key, value);
    guard(() => this.#openStorage()?.setItem(this.#key, value));
  }

  /** Begin where another stream or page of this origin left off. */
  #recall(key: string): void {
    this.#key = key;
    const value = remembered.get(key) ?? guard(() => this.#openStorage()?.getItem(key)) ?? "";
    const [name, betterAt, betterMs] = value.split(" ");
    const rung = this.#rungs.findIndex((transport) => transport.name === name);
    if (rung < 0 || !(Number(betterAt) > Date.now())) return;
    this.#go(rung);
    this.#hasWorked = rung > 0;
    this.#betterAt = Number(betterAt);
    this.#betterMs = Number(betterMs);
  }

  #openStorage() {
    return this.#storage === undefined ? sessionStorage : this.#storage;
  }
}

/** Use a storage, which may be absent, forbidden or full. */
function guard<T>(use: () => T): T | undefined {
  try {
    return use();
  } catch {
    return undefined;
  }
}
