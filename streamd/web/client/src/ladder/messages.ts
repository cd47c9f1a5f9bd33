/**
 * The JSON messages of WebSocket and long polling, as the blocks that Server-Sent Events would bring.
 *
 * JSON.parse followed by JSON.stringify would change the data of events: 1.0 becomes 1, and long integers lose digits. So
 * the texts of nested values are cut out of the message as they are.
 */

import { parseFields } from "../event.js";
import { StreamFailure } from "../failure.js";
import type { Block } from "../parser.js";

/** A message of the server: a block, whose type is the name of a control message. */
export interface Message extends Block {
  /** The parsed message. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** The fields of a message that mean something to a client. */
interface Fields extends Partial<Block> {
  readonly control?: string;
}

/** Read one message. Throws a StreamFailure for a text that is none. */
export function readMessage(text: string): Message {
  const fields = readObject(text, "id", "control");
  const { control, id = null, type = "message", encoding = "", topics = [], retry = null, ...others }: Fields = fields;
  const event = { fields, id, type, data: readData(cutMember(text, "data")), encoding, topics, retry };
  if (control === undefined || control === "message") return event;
  if (control === "cursor") return { ...event, data: null };
  return { ...event, id: null, type: control, data: JSON.stringify(others) };
}

/** Parse a JSON object that has one of some members. Throws a StreamFailure for anything else. */
export function readObject(text: string, ...names: readonly string[]): Record<string, unknown> {
  const fields = parseFields(text);
  if (!names.some((name) => name in fields)) throw new StreamFailure("the server sent no message of streamd", { fatal: true });
  return fields;
}

/** Return the text of a member's value in a valid JSON object; empty without that member. */
export function cutMember(text: string, name: string): string {
  const parts = cut(text); // name, value, name, value …
  return parts.find((_, at) => at % 2 === 1 && parts[at - 1] === `"${name}"`) ?? "";
}

/** Return the texts of the elements of a valid JSON array. */
export function cutElements(text: string): string[] {
  return cut(text).filter(Boolean);
}

/** Return the data of an event: a string as its characters, any other value as its text. */
function readData(text: string): string {
  return text.startsWith('"') ? (JSON.parse(text) as string) : text;
}

/** Cut a valid JSON object or array at its own colons and commas, and leave those of nested values. */
function cut(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  let isString = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at]!;
    if (character === "\\") at += 1;
    else if (character === '"') isString = !isString;
    else if (!isString) {
      const isEnd = "]}".includes(character);
      if ("[{".includes(character)) {
        depth += 1;
        if (depth === 1) start = at + 1;
      } else if (depth === 1 && (isEnd || ",:".includes(character))) {
        parts.push(text.slice(start, at).trim());
        start = at + 1;
      }
      if (isEnd) depth -= 1;
    }
  }
  return parts;
}
