/** Requests to one server, with retries. */

import { TIMER_MS_MAX, backoffMs, type Backoff } from "../backoff.js";
import { StreamFailure, readFailure } from "../failure.js";
import { resolveUrl } from "../page.js";
import { invalid } from "./content.js";
import type { CallOptions, PublisherOptions } from "./options.js";

const BACKOFF: Backoff = { baseMs: 250 };
const DEFAULTS = {
  retries: 10,
  timeoutMs: 60_000,
  attemptMs: 15_000,
  fetch: (...args: Parameters<typeof fetch>) => fetch(...args),
};

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PATCH";
  /** Relative to the server's address, without a slash in front. */
  readonly path: string;
  /** The JSON of the body. */
  readonly body?: string;
  readonly idempotencyKey?: string;
}

/** Makes one request of an attempt, and returns the JSON object that the server answers. */
export type Send = (request: ApiRequest) => Promise<Record<string, unknown>>;

/** The server, and how to ask it. */
export class Endpoint {
  #base: URL;
  #options: typeof DEFAULTS & PublisherOptions;

  constructor(options: PublisherOptions) {
    this.#options = { ...DEFAULTS, ...options };
    this.#base = resolveUrl(options.url);
    if (!/^https?:$/.test(this.#base.protocol)) throw invalid(`url must begin with http:// or https://, and is ${options.url}`);
    if (this.#base.username || this.#base.password) throw invalid("url must not have a user: use token or headers");
    this.#base.search = this.#base.hash = "";
    if (!this.#base.pathname.endsWith("/")) this.#base.pathname += "/";
  }

  /** Make one request, and repeat it until it succeeds; see {@link retry}. */
  async call(request: ApiRequest, options: CallOptions): Promise<Record<string, unknown>> {
    return await this.retry((send) => send(request), options);
  }

  /**
   * Repeat an attempt until it succeeds, fails for good, or the retries or the time are used up.
   *
   * Repeated are attempts without an answer, and those answered 408, 425, 429 or 5xx; one answered 401 is repeated once, if
   * a function can give another token. Rejects with the StreamFailure of the last attempt.
   */
  async retry<T>(attempt: (send: Send) => Promise<T>, { signal }: CallOptions): Promise<T> {
    const { retries, backoff, timeoutMs } = this.#options;
    const endsAt = performance.now() + timeoutMs;
    const send: Send = (request) => this.#send(request, endsAt, signal);
    let mayRefresh = this.#canRefresh;
    for (let failures = 0; ; ) {
      try {
        return await attempt(send);
      } catch (error) {
        if (!(error instanceof StreamFailure)) throw error;
        if (error.status === 401 && mayRefresh) {
          mayRefresh = false; // the token may just have expired
          continue;
        }
        const waitMs = backoffMs(failures, error.retryAfterMs, { ...BACKOFF, ...backoff });
        failures += 1;
        if (error.fatal || failures > retries || performance.now() + waitMs >= endsAt) throw error;
        await sleep(waitMs, signal);
      }
    }
  }

  get #canRefresh(): boolean {
    return [this.#options.token, this.#options.headers].some((source) => typeof source === "function");
  }

  /** Make one request within its time. */
  async #send(request: ApiRequest, endsAt: number, signal: AbortSignal | undefined): Promise<Record<string, unknown>> {
    if (signal?.aborted) throw aborted();
    const limitMs = Math.max(0, Math.min(this.#options.attemptMs, endsAt - performance.now(), TIMER_MS_MAX));
    const abort = new AbortController();
    let onAbort!: () => void;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stopped = new Promise<never>((_, reject) => {
      onAbort = () => reject(aborted());
      timer = setTimeout(() => reject(lateAnswer(this.#base, limitMs)), limitMs);
    });
    signal?.addEventListener("abort", onAbort);
    try {
      // A token function, or a fetch, may ignore the signal.
      return await Promise.race([stopped, this.#exchange(request, abort.signal)]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      abort.abort();
    }
  }

  async #exchange(request: ApiRequest, signal: AbortSignal): Promise<Record<string, unknown>> {
    const { method, path, body = null } = request;
    const url = new URL(path, this.#base);
    const headers = await this.#headers(request);
    signal.throwIfAborted();
    let response: Response;
    try {
      response = await this.#options.fetch(url, { method, headers, body, signal, redirect: "manual", cache: "no-store" });
    } catch (error) {
      throw new StreamFailure(`${this.#base} cannot be reached${reasonOf(error)}`);
    }
    if (response.type === "opaqueredirect" || (response.status >= 300 && response.status < 400)) {
      // fetch would repeat a POST as a GET, and send the token to another server.
      throw new StreamFailure(`${url} redirects: url must be the server's own address`, { status: response.status, fatal: true });
    }
    if (!response.ok) throw await readFailure(response);
    return await readObject(response, url);
  }

  async #headers({ body, idempotencyKey }: ApiRequest): Promise<Headers> {
    const { token, headers: source } = this.#options;
    const [fields, bearer] = await askForCredentials(source, token);
    try {
      const headers = new Headers(fields);
      headers.set("Accept", "application/json");
      if (bearer) headers.set("Authorization", `Bearer ${bearer}`);
      if (body !== undefined) headers.set("Content-Type", "application/json");
      if (idempotencyKey !== undefined) headers.set("Idempotency-Key", quote(idempotencyKey));
      return headers;
    } catch {
      throw invalid("headers, token and idempotencyKey must be of characters that a header may have");
    }
  }
}

async function askForCredentials(
  headers: PublisherOptions["headers"],
  token: PublisherOptions["token"],
): Promise<[HeadersInit | undefined, string | undefined]> {
  try {
    return [typeof headers === "function" ? await headers() : headers, typeof token === "function" ? await token() : token];
  } catch (error) {
    throw new StreamFailure(`the function for headers or tokens has failed: ${String(error)}`, { code: "credentials" });
  }
}

/** Read the JSON object of an answer. */
async function readObject(response: Response, url: URL): Promise<Record<string, unknown>> {
  const { status } = response;
  let text: string;
  try {
    text = await response.text();
  } catch (error) {
    throw new StreamFailure(`the connection was lost before the end of the answer${reasonOf(error)}`, { status });
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // reported below, like JSON that is no object
  }
  throw new StreamFailure(`${url} did not answer as streamd does: is url right?`, { status, code: "protocol", fatal: true });
}

/** Write a string of a structured field (RFC 9651 section 3.3.3). */
function quote(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

/** Return the reason that Node gives for "fetch failed", such as ECONNREFUSED; empty in browsers. */
function reasonOf(error: unknown): string {
  const cause: unknown = error instanceof Error ? error.cause : undefined;
  const code: unknown = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined;
  return typeof code === "string" ? ` (${code})` : "";
}

function lateAnswer(base: URL, limitMs: number): StreamFailure {
  return new StreamFailure(`${base} did not answer within ${Math.round(limitMs)} ms`, { code: "timeout" });
}

function aborted(): StreamFailure {
  return new StreamFailure("the call was aborted", { code: "aborted", fatal: true });
}

async function sleep(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted) throw aborted();
  await new Promise<void>((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(aborted());
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, waitMs);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
