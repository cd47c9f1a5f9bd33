/** The parser of event streams (WHATWG HTML section 9.2.6). */

/** One block of an event stream. */
export interface Block {
  /** The `id` field; null in a block without one. */
  readonly id: string | null;
  readonly type: string;
  /** The lines of the `data` fields; null in a block that dispatches no event. */
  readonly data: string | null;
  /** streamd's field `encoding`: `base64`, or empty for text. */
  readonly encoding: string;
  /** streamd's field `topic`, sent for `include=topics`. */
  readonly topics: readonly string[];
  /** The `retry` field (ms); null in a block without one. */
  readonly retry: number | null;
}

const BLOCK_CHARS_MAX = 16 * 1024 * 1024; // 16 times the server's default limit of an event
const LINE_END = /\r\n|\r|\n/;

/**
 * Parses an event stream piece by piece.
 *
 * Unlike a native EventSource it reports every type, and blocks that have only an id, which move a client's cursor.
 */
export class EventStreamParser {
  #line: string[] = []; // the pieces of the unfinished line
  #afterCr = false; // an LF at the start of the next piece belongs to this CR
  #chars = 0; // of the unfinished block
  #id: string | null = null;
  #type = "";
  #data: string[] = [];
  #encoding = "";
  #topics: string[] = [];
  #retry: number | null = null;

  /**
   * Parse the next characters, cut anywhere, without a byte order mark; return the complete blocks.
   *
   * Throws a RangeError for a block of more than 16 million characters.
   */
  receive(text: string): Block[] {
    if (text === "") return [];
    const rest = this.#afterCr && text.startsWith("\n") ? text.slice(1) : text;
    this.#afterCr = text.endsWith("\r");
    this.#chars += text.length;
    const blocks: Block[] = [];
    const lines = rest.split(LINE_END);
    const unfinished = lines.pop() ?? "";
    for (const [index, line] of lines.entries()) {
      this.#take(index === 0 ? this.#line.splice(0).join("") + line : line, blocks);
    }
    if (unfinished) this.#line.push(unfinished);
    if (lines.includes("")) this.#chars = unfinished.length;
    if (this.#chars > BLOCK_CHARS_MAX) throw new RangeError("an event of the stream is too long");
    return blocks;
  }

  #take(line: string, blocks: Block[]): void {
    if (line === "") {
      this.#dispatch(blocks);
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    switch (field) {
      case "data":
        this.#data.push(value);
        break;
      case "event":
        this.#type = value;
        break;
      case "id":
        if (!value.includes("\0")) this.#id = value;
        break;
      case "retry":
        if (/^[0-9]+$/.test(value)) this.#retry = Number(value);
        break;
      case "topic":
        this.#topics.push(value);
        break;
      case "encoding":
        this.#encoding = value;
    }
  }

  #dispatch(blocks: Block[]): void {
    const id = this.#id;
    const retry = this.#retry;
    const data = this.#data.length > 0 ? this.#data.join("\n") : null;
    if (id !== null || retry !== null || data !== null) {
      blocks.push({ id, retry, data, type: this.#type || "message", encoding: this.#encoding, topics: this.#topics });
    }
    this.#id = this.#retry = null;
    this.#type = this.#encoding = "";
    this.#data = [];
    this.#topics = [];
  }
}
