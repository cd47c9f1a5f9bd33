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

/** Return the failure that an error means for a connection. */
export function asFailure(cause: unknown): StreamFailure {
  if (cause instanceof StreamFailure) return cause;
  // The same event would be too long again, after the same cursor.
  return new StreamFailure(`the connection failed: ${cause}`, { fatal: cause instanceof RangeError });
}

/** Return true for a status after which another attempt would fail too: all below 500 other than 408, 425 and 429. */
export function isFatalStatus(status: number): boolean {
  return status < 500 && ![408, 425, 429].includes(status);
}

/** Read the problem (RFC 9457) in a response that is not what was asked for. */
export async function readFailure(response: Response): Promise<StreamFailure> {
  const { ok, status, headers } = response;
  // A proxy may answer anything, and what was read is gone. A body of the wrong type may have no end.
  const text = ok ? "" : await response.text().catch(() => "");
  const { detail, code } = parseFields(text);
  return new StreamFailure(String(detail ?? `the server answered ${status} ${headers.get("Content-Type") ?? ""}`), {
    status,
    code: String(code ?? ""),
    fatal: isFatalStatus(status),
    retryAfterMs: retryAfterMs(headers.get("Retry-After")),
  });
}
