/**
 * The JSON messages of WebSocket and long polling, as the blocks that Server-Sent Events would bring.
 *
 * JSON.parse followed by JSON.stringify would change data: 1.0 becomes 1, and long integers lose digits. So the texts of
 * nested values are cut out of the message as they are.
 */

import { parseFields } from "../event.js";
import { StreamFailure } from "../failure.js";
import type { Block } from "../parser.js";

/** A message of the server. */
export interface Message {
  /** The name of the message; empty for an event. */
  readonly control: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly block: Block;
}

/** Read one message. Throws a StreamFailure for a text that is none. */
export function readMessage(text: string): Message {
  const members = membersOf(text);
  const fields = parseFields(text);
  const { id = null, type = "message", encoding = "", topics = [], retry = null, control = "" } = fields as Fields;
  const event = { id, type, data: readData(members.get("data") ?? '""'), encoding, topics, retry };
  if (control === "" || control === "message") return { control, fields, block: event };
  if (control === "cursor") return { control, fields, block: { ...event, data: null } };
  members.delete("control");
  members.delete("retry");
  const data = `{${[...members].map(([name, value]) => `${JSON.stringify(name)}:${value}`).join()}}`;
  return { control, fields, block: { id: null, type: control, data, encoding: "", topics: [], retry } };
}

/** The fields of a server's message that mean something to a client. */
interface Fields {
  readonly id?: string;
  readonly type?: string;
  readonly encoding?: string;
  readonly topics?: readonly string[];
  readonly retry?: number;
  readonly control?: string;
}

/** Return the members of a JSON object, each value as its own text. Throws a StreamFailure for anything else. */
export function membersOf(text: string): Map<string, string> {
  try {
    if (Array.isArray(JSON.parse(text)) || !/^\s*\{/.test(text)) throw new SyntaxError();
  } catch {
    throw new StreamFailure("the server sent something else than a message of streamd", { fatal: true });
  }
  const parts = split(text);
  const members = new Map<string, string>();
  for (let at = 0; at + 1 < parts.length; at += 2) members.set(JSON.parse(parts[at]!) as string, parts[at + 1]!);
  return members;
}

/** Return the elements of a JSON array, each as its own text. */
export function elementsOf(text: string): string[] {
  return split(text).filter((element) => element !== "");
}

/** Return the data of an event: a string as its characters, any other value as its text. */
function readData(text: string): string {
  return text.startsWith('"') ? (JSON.parse(text) as string) : text;
}

/** Cut a valid JSON object or array at its own colons and commas, and leave those of nested values. */
function split(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at]!;
    if (character === '"') at = endOfString(text, at);
    else if ("[{".includes(character)) {
      depth += 1;
      if (depth === 1) start = at + 1;
    } else if ("]},:".includes(character)) {
      if (depth === 1) {
        parts.push(text.slice(start, at).trim());
        start = at + 1;
      }
      if ("]}".includes(character)) depth -= 1;
    }
  }
  return parts;
}

/** Return the position of the quote that ends a string: one after an even number of backslashes. */
function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); ; at = text.indexOf('"', at + 1)) {
    let backslashes = 0;
    while (text[at - 1 - backslashes] === "\\") backslashes += 1;
    if (backslashes % 2 === 0) return at;
  }
}
