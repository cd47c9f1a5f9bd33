// An incremental parser of event streams (WHATWG HTML section 9.2.6).
//
// Unlike a native EventSource it reports every type, blocks that have only an id, and the fields of streamd's own: `topic`,
// for `include=topics`, and `encoding`.

const MAX_CHARS = 16 * 1024 * 1024; // of one unfinished block: 16 times the default limit of an event

export class EventStreamParser {
  #line = ""; // the unfinished line
  #afterCr = false; // an LF now belongs to the CR before it
  #chars = 0;
  #block = emptyBlock();

  // Parse the next characters, split anywhere; returns the complete blocks {id, type, data, encoding, topics, retry}. `id` and
  // `retry` are null in a block without them; `data` is null in one that dispatches no event; `encoding` is "base64" or "".
  receive(text) {
    if (!text) return [];
    if (this.#afterCr && text.startsWith("\n")) text = text.slice(1);
    this.#afterCr = text.endsWith("\r");
    const lines = (this.#line + text).split(/\r\n|\r|\n/);
    this.#line = lines.pop();
    this.#chars += text.length;
    const blocks = [];
    for (const line of lines) {
      if (line) this.#take(line);
      else this.#end(blocks);
    }
    if (this.#chars > MAX_CHARS) throw new Error("an event is too long");
    return blocks;
  }

  #take(line) {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    const block = this.#block;
    if (field === "data") block.data.push(value);
    else if (field === "event") block.type = value;
    else if (field === "id" && !value.includes("\0")) block.id = value;
    else if (field === "topic") block.topics.push(value);
    else if (field === "encoding") block.encoding = value;
    else if (field === "retry" && /^\d+$/.test(value)) block.retry = Number(value);
  }

  #end(blocks) {
    const { id, type, data, encoding, topics, retry } = this.#block;
    if (id !== null || retry !== null || data.length) {
      const text = data.length ? data.join("\n") : null;
      blocks.push({ id, type: type || "message", data: text, encoding, topics, retry });
    }
    this.#block = emptyBlock();
    this.#chars = this.#line.length;
  }
}

function emptyBlock() {
  return { id: null, type: "", data: [], encoding: "", topics: [], retry: null };
}
