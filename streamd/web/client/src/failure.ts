/** Failures of a connection: of the network, or of a server that rejects the request. */

import { retryAfterMs } from "./backoff.js";
import { parseFields } from "./event.js";

export interface FailureFields {
  /** HTTP status of the response; null without one. */
  readonly status?: number | null;
  /** The problem's code (RFC 9457, `code`), such as `unauthorized`; empty without one. */
  readonly code?: string;
  /** True if another attempt would fail too. */
  readonly fatal?: boolean;
  /** The wait that the server asks for (ms). */
  readonly retryAfterMs?: number;
}

/** The reason why a stream has no connection. The message is a sentence for people. */
export class StreamFailure extends Error {
  override readonly name = "StreamFailure";
  readonly status: number | null = null;
  readonly code: string = "";
  readonly fatal: boolean = false;
  readonly retryAfterMs: number = 0;

  constructor(message: string, fields: FailureFields = {}) {
    super(message);
    Object.assign(this, fields);
  }
}

/** Return true for a status after which another attempt would fail too: 4xx other than 408, 425 and 429. */
export function isFatalStatus(status: number): boolean {
  return status >= 400 && status < 500 && ![408, 425, 429].includes(status);
}

/** Read the problem of a response that is no stream (RFC 9457). */
export async function readFailure(response: Response): Promise<StreamFailure> {
  const { status } = response;
  const { detail, code } = parseFields(await response.text().catch(() => "")); // a proxy may answer anything
  return new StreamFailure(typeof detail === "string" ? detail : `the server answered ${status}`, {
    status,
    code: String(code ?? ""),
    fatal: isFatalStatus(status),
    retryAfterMs: retryAfterMs(response.headers.get("Retry-After")),
  });
}
