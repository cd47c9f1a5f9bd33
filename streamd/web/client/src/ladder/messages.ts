/** The JSON messages of WebSocket and long polling, as the blocks that Server-Sent Events would bring. */

import { parseFields } from "../event.js";
import { StreamFailure } from "../failure.js";
import type { Block } from "../parser.js";

/** A message of the server: an event, or what `control` names. */
export interface Message extends Partial<Block> {
  readonly control?: string;
  readonly [name: string]: unknown;
}

/** Values of `control` for events without an id, and for moves of the cursor, which have no data. */
const EVENTS: readonly string[] = ["message", "cursor"];

/** Return the block of a message. A control frame has the other fields as its data. */
export function asBlock(message: Message): Block {
  const { control = "message", id = null, type = "message", data = null, encoding = "", topics = [], retry = null, ...others } = message;
  const event = { id, type, data, encoding, topics, retry };
  return EVENTS.includes(control) ? event : { ...event, type: control, data: JSON.stringify(others) };
}

/** Parse a JSON object with exact data, see below. Throws a StreamFailure for anything that is not from streamd. */
export function readFields(text: string): Record<string, unknown> {
  const fields = parseFields(quoteData(text));
  if ((fields["id"] ?? fields["control"] ?? fields["next"]) === undefined) {
    throw new StreamFailure("the answer is not from streamd", { fatal: true });
  }
  return fields;
}

/** Escapes in strings, and all that counts outside of them. A name before a colon is no part of a string. */
const TOKEN = /\\.|"data"\s*:\s*(?!["\s])|["[\]{},]/g;

/**
 * Turn the values of members `data` of a valid JSON text into strings that hold their text, but for strings and for members
 * of such values.
 *
 * JSON.parse followed by JSON.stringify would change data: 1.0 becomes 1, and long integers lose digits.
 */
function quoteData(text: string): string {
  let quoted = "";
  let rest = 0; // of the text, from here on
  let depth = 0;
  let dataDepth = 0; // 0 outside of a value of `data`
  let isString = false;
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (token === '"') isString = !isString;
    if (isString) continue;
    const isEnd = "]},".includes(token);
    if (token.length > 1 && dataDepth === 0) {
      quoted += text.slice(rest, (rest = index + token.length));
      dataDepth = depth;
    } else if (isEnd && dataDepth === depth) {
      quoted += JSON.stringify(text.slice(rest, index).trim());
      rest = index;
      dataDepth = 0;
    }
    if ("[{".includes(token)) depth += 1;
    else if (isEnd && token !== ",") depth -= 1;
  }
  return quoted + text.slice(rest);
}
