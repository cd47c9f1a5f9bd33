/** The content of requests: JSON without silent losses, and bytes as base64. */

import { StreamFailure } from "../failure.js";

/** Make the failure of an argument that the server would reject, or never see as it was meant. */
export function invalid(message: string): StreamFailure {
  return new StreamFailure(message, { code: "invalid-field", fatal: true });
}

/** The members of an event's JSON with its data: `Uint8Array` travels as base64. */
export function encodeData(data: unknown): { data: unknown; encoding?: "base64" } {
  if (data instanceof Uint8Array) return { data: toBase64(data), encoding: "base64" };
  checkJson(data, "data");
  return { data };
}

/**
 * Check that a value is JSON. JSON.stringify would turn NaN into null, and leave out undefined, without a word.
 *
 * @param path names the value in the failure, such as `data.items[3].price`.
 */
export function checkJson(value: unknown, path: string, within: readonly unknown[] = []): void {
  if (value === null || typeof value === "string" || typeof value === "boolean") return;
  if (typeof value === "number") {
    if (Number.isFinite(value)) return;
    throw invalid(`${path} must be a JSON value, and no ${value}`);
  }
  if (typeof value !== "object") throw invalid(`${path} must be a JSON value, and no ${typeof value}`);
  if (within.includes(value)) throw invalid(`${path} must be a JSON value, and does not end: it contains itself`);
  if (hasToJson(value)) return checkJson(value.toJSON(), path, [...within, value]); // as of a Date
  if (isLossy(value)) throw invalid(`${path} must be a JSON value, and no ${value.constructor.name}`);
  for (const [name, member] of Object.entries(value)) {
    checkJson(member, Array.isArray(value) ? `${path}[${name}]` : `${path}.${name}`, [...within, value]);
  }
}

/** Return an object without the members that are undefined, which an interface of ours has as optional. */
export function defined<T extends object>(members: T): T {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as T;
}

function hasToJson(value: object): value is { toJSON(): unknown } {
  return "toJSON" in value && typeof value.toJSON === "function";
}

/** Return true for an object that JSON.stringify would write as an object without its content. */
function isLossy(value: object): boolean {
  return value instanceof Map || value instanceof Set || value instanceof ArrayBuffer || ArrayBuffer.isView(value);
}

const CHUNK_BYTES = 0x8000; // below the maximum number of arguments of a call

function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
    text += String.fromCharCode(...bytes.subarray(start, start + CHUNK_BYTES));
  }
  return btoa(text);
}
