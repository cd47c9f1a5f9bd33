// The live list of events: bounded, in id order, and always as text.

import { idTime, preciseClock } from "./format.js";

const MAX_ROWS = 500;
const NEAR_END_PX = 40; // closer than this to the end: the list follows new events

export class LogList {
  #list = document.getElementById("log");
  #empty = document.getElementById("log-empty");
  #newest = document.getElementById("newest");
  #count = document.getElementById("log-count");
  #pending = []; // drawn in the next frame, so that a burst costs one layout
  #frame = null;
  #unseen = 0;

  constructor() {
    this.#newest.addEventListener("click", () => this.#toEnd());
    this.#list.addEventListener("scroll", () => this.#atEnd && this.#setUnseen(0), { passive: true });
  }

  // row: {id, type, data, encoding, topics}; of a message to this connection alone, id and topics are empty
  add(row) {
    this.#enqueue({ order: row.id || null, make: () => eventRow(row) });
  }

  // kind: gap, resumed, closing
  notice(kind, text) {
    this.#enqueue({ order: null, make: () => noticeRow(kind, text) });
  }

  clear() {
    this.#pending = [];
    this.#list.replaceChildren();
    this.#setUnseen(0);
    this.#showEmpty();
  }

  set emptyText(text) {
    this.#empty.textContent = text;
  }

  #enqueue(entry) {
    this.#pending.push(entry);
    if (this.#pending.length > MAX_ROWS) this.#pending.shift(); // a hidden page draws no frames
    this.#frame ??= requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    this.#frame = null;
    const follow = this.#atEnd;
    let added = 0;
    for (const { order, make } of this.#pending.splice(0)) added += this.#insert(order, make);
    while (this.#list.childElementCount > MAX_ROWS) this.#list.firstElementChild.remove();
    this.#showEmpty();
    if (follow) this.#list.scrollTop = this.#list.scrollHeight;
    else this.#setUnseen(this.#unseen + added);
  }

  // Insert by id, nearly always at the end. Skip duplicates.
  #insert(order, make) {
    let before = this.#list.lastElementChild;
    for (let row = before; order !== null && row; row = row.previousElementSibling) {
      if (!row.dataset.id) continue; // a notice has no id to compare with
      if (row.dataset.id === order) return 0;
      if (row.dataset.id < order) break;
      before = row.previousElementSibling;
    }
    if (before) before.after(make());
    else this.#list.prepend(make());
    return 1;
  }

  get #atEnd() {
    return this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < NEAR_END_PX;
  }

  #toEnd() {
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#setUnseen(0);
  }

  #setUnseen(rows) {
    this.#unseen = rows;
    this.#newest.hidden = rows === 0;
    this.#newest.textContent = `${rows > MAX_ROWS ? `over ${MAX_ROWS}` : rows} new, go to the newest`;
  }

  #showEmpty() {
    const rows = this.#list.childElementCount;
    this.#empty.hidden = rows > 0;
    this.#count.textContent = rows < MAX_ROWS ? "" : `the newest ${MAX_ROWS}`;
  }
}

function eventRow({ id, type, data, encoding, topics }) {
  const row = element("li", "row", { testid: "log-row", id, type });
  const time = element("time", "time");
  time.textContent = preciseClock(id ? idTime(id) : Date.now());
  time.title = id;
  const topic = cell("topic", topics[0] ?? "this page only", topics.join("\n"));
  topic.dataset.testid = "log-topic";
  const text = element("span", "text");
  text.textContent = encoding ? `(${encoding}) ${data}` : data; // bytes are shown as their base64
  row.append(time, topic, cell("type", type, type), text);
  return row;
}

// A cell that cuts off a long text, with all of it in its title.
function cell(className, text, title) {
  const made = element("span", className);
  made.textContent = text;
  made.title = title;
  return made;
}

function noticeRow(kind, words) {
  const row = element("li", "row notice", { testid: "log-notice", kind });
  const time = element("time", "time");
  time.textContent = preciseClock(Date.now());
  const text = element("span", "text");
  text.textContent = words;
  row.append(time, text);
  return row;
}

function element(name, className, data = {}) {
  const made = document.createElement(name);
  made.className = className;
  Object.assign(made.dataset, data);
  return made;
}
