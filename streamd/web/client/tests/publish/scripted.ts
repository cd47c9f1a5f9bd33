/** A server of the tests: answers by a script, on the virtual clock. */

import { vi } from "vitest";

/** One answer: a status with JSON, a network error, or silence. */
export type Reply = readonly [status: number, body?: unknown, headers?: Record<string, string>] | "lost" | "silent";

export interface Received {
  readonly at: number;
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: any; // JSON of any shape
}

export class ScriptedServer {
  readonly received: Received[] = [];
  #replies: Reply[];

  constructor(...replies: Reply[]) {
    this.#replies = replies;
  }

  get fetch(): typeof fetch {
    return async (url, init = {}) => {
      const { method = "GET", headers, body, signal } = init;
      const text = typeof body === "string" ? body : "null";
      this.received.push({ at: Date.now(), method, url: String(url), headers: new Headers(headers), body: JSON.parse(text) });
      const reply = this.#replies.shift();
      if (reply === undefined) throw new Error("the script has no further reply");
      if (reply === "lost") throw new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } });
      if (reply === "silent") return await silence(signal);
      const [status, answer, fields = {}] = reply;
      return new Response(answer === undefined ? null : JSON.stringify(answer), { status, headers: fields });
    };
  }

  /** The times of the requests (ms since the start of the test). */
  get times(): number[] {
    return this.received.map(({ at }) => at);
  }
}

/** Never answer; what the client does must not depend on an abort that is heard. */
async function silence(signal: AbortSignal | null | undefined): Promise<Response> {
  return await new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
}

/** Start the virtual clock at 0; waits are the longest that jitter allows. */
export function useVirtualClock(): void {
  vi.useFakeTimers({ now: 0 });
  vi.spyOn(Math, "random").mockReturnValue(1);
}

/** Run the clock until a call has settled; return its value or its failure. */
export async function settle<T>(call: Promise<T>): Promise<T> {
  let isSettled = false;
  const settled = () => (isSettled = true);
  call.then(settled, settled);
  while (!isSettled) await vi.advanceTimersToNextTimerAsync();
  return await call;
}
