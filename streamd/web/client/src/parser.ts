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
const FIELD = /^([^:]*):? ?(.*)$/s;

/** A block while its lines arrive. */
type OpenBlock = { -readonly [name in keyof Block]: Block[name] };

const EMPTY: OpenBlock = { id: null, type: "message", data: null, encoding: "", topics: [], retry: null };

/**
 * Parses an event stream piece by piece.
 *
 * Unlike a native EventSource it reports every type, and blocks that have only an id, which move a client's cursor.
 */
export class EventStreamParser {
  #line = ""; // unfinished
  #afterCr = false; // an LF at the start of the next piece belongs to this CR
  #chars = 0; // of the finished lines of the block
  #block = { ...EMPTY };

  /**
   * Parse the next characters, cut anywhere, without a byte order mark; return the complete blocks.
   *
   * Throws a RangeError for a block of more than 16 million characters.
   */
  receive(text: string): Block[] {
    if (text === "") return [];
    const lines = (this.#afterCr && text.startsWith("\n") ? text.slice(1) : text).split(LINE_END);
    this.#afterCr = text.endsWith("\r");
    lines[0] = this.#line + lines[0];
    this.#line = lines.pop() ?? "";
    const blocks: Block[] = [];
    for (const line of lines) {
      this.#chars += line.length;
      if (line) this.#take(line);
      else {
        const { id, data, retry } = this.#block;
        if ((id ?? data ?? retry) !== null) blocks.push(this.#block);
        this.#block = { ...EMPTY };
        this.#chars = 0;
      }
    }
    if (this.#chars + this.#line.length > BLOCK_CHARS_MAX) throw new RangeError("an event is too long");
    return blocks;
  }

  #take(line: string): void {
    const block = this.#block;
    const [, field, value = ""] = FIELD.exec(line) ?? [];
    if (field === "data") block.data = block.data === null ? value : `${block.data}\n${value}`;
    else if (field === "event") block.type = value || "message";
    else if (field === "id" && !value.includes("\0")) block.id = value;
    else if (field === "retry" && /^[0-9]+$/.test(value)) block.retry = Number(value);
    else if (field === "topic") block.topics = [...block.topics, value];
    else if (field === "encoding") block.encoding = value;
  }
}
