/**
 * A stream whose connection is shared between tabs.
 *
 * Theory of operation
 * -------------------
 * All tabs of one key (URL, credentials, name) ask for one Web Lock. The tab that holds it, the *leader*, connects as any
 * stream does, and tells all blocks and states on a BroadcastChannel. The others *follow*: they take these blocks and states
 * as if they were their own. Each tab has its own cursor, and drops events at or behind it as repeats, so an event that is
 * told twice does no harm. What must not happen is that a tab moves its cursor past an event that it has not received:
 *
 * 1. The news of a leader are numbered, within a *term* that begins when the tab takes the lead. A tab takes a block only in
 *    step: it is the next number of the term that the tab has joined. A tab that is out of step asks to join again.
 * 2. The answer to a join has the leader's cursor, and its level: the id of the last event at or before the cursor. A tab
 *    whose own cursor has reached the level has missed nothing, and follows. A tab without a cursor starts at the leader's.
 * 3. A tab behind the level opens a private connection from its own cursor, which replays the events that it has missed, and
 *    closes it when it has reached the level. It stays in step meanwhile, so that it knows the level.
 * 4. A new leader resumes after its own cursor, without asking the others: those who have received less than it catch up by
 *    rule 3, and those who have received more drop the repeats. Where a leader dies, the tabs have received the same events
 *    but for those that are still on their way, so private connections are rare.
 *
 * A cursor from elsewhere (the option `after`, or from before a pause) may belong to another log, whose ids may be greater;
 * only the server knows, and tells by a `gap`. Such a cursor is not *known*: beyond the leader's, it needs the server too.
 *
 * | role        | event                              | next        | action                                             |
 * | ----------- | ---------------------------------- | ----------- | -------------------------------------------------- |
 * | out         | connect(), shown, restored         | following   | open the channel, ask for the lock, ask to join    |
 * | following   | lock granted                       | leading     | new term; connect after the cursor                 |
 * | following   | answer, cursor at the level        | following   | in step: take the state, and the news that follow  |
 * | following   | answer, cursor behind the level    | catching up | connect privately after the cursor                 |
 * | following   | news out of step                   | following   | ask to join                                        |
 * | following   | the state `closed`                 | out         | close with the leader's failure                    |
 * | catching up | block, cursor at the level         | following   | close the private connection; ask for the state    |
 * | catching up | lock granted                       | leading     | new term; the private connection is the shared one |
 * | catching up | fatal failure of the connection    | out         | close                                              |
 * | both        | silence of the leader              | leading     | steal the lock                                     |
 * | leading     | lock stolen                        | following   | disconnect, ask for the lock, ask to join          |
 * | leading     | fatal failure, end of the stream   | out         | tell the state `closed`                            |
 * | any         | disconnect(), hidden, frozen, left | out         | disconnect; release the lock; close the channel    |
 * | following   | the lock is refused (no storage)   | alone       | connect as a stream that is not shared             |
 *
 * - A hidden leader keeps its connection: Chrome does not freeze a page that holds a lock. A page that is frozen all the same,
 *   or left, gives the lock up, since pages in the back/forward cache stand still; resumed or restored, it joins again.
 * - A debugger, a dialog or a phone can stop a leader without an event, and it keeps its lock. So a follower that has heard
 *   nothing asks, and after some silent ticks steals the lock. Ticks are counted rather than milliseconds, because followers
 *   may sleep too. The old leader learns of it when it wakes up; what it tells until then is out of step for tabs that have
 *   joined the new one, and harmless by rule 2 for the others.
 * - With `openWhenHidden: false` hidden tabs are out, so nothing is connected while all of them are hidden.
 * - A slow `for await` loop pushes back to the server in the leader's tab only; in others its events wait in memory.
 */

import { parseFields } from "../event.js";
import type { StreamFailure } from "../failure.js";
import type { StreamOptions, StreamState } from "../options.js";
import { isHidden, isRestored, watchPage } from "../page.js";
import type { Block } from "../parser.js";
import { EventStream } from "../stream.js";
import { VERSION, decode, encode, type Message, type News } from "./message.js";

const TICK_MS = 5000;
const SILENT_TICKS_MAX = 4; // then the leader is taken for stopped; it is asked from the second one on

type Role = "out" | "following" | "catching up" | "leading" | "alone";

export interface SharingOptions extends StreamOptions {
  /**
   * Name of the caller. Tabs share a connection if URL, selectors, `credentials` and name are equal. All of them receive what
   * the caller of one of them may read, so give each user a name: tabs of different users must not share.
   */
  name?: string;
}

/** What tabs have in common. */
export interface Platform {
  readonly locks: Pick<LockManager, "request">;
  open(name: string): BroadcastChannel;
}

/** A stream whose connection is shared between tabs. Made by `createSharedStream`. */
export class SharedStream extends EventStream {
  #key: string;
  #platform: Platform;
  #openWhenHidden: boolean;
  #id = crypto.randomUUID();
  #role: Role = "out";
  #following: AbortController | null = null; // from start() to the end
  #membership: AbortController | null = null; // while the role is not `out`
  #channel: BroadcastChannel | null = null;
  #isLeft = false; // the page is frozen, or in the back/forward cache
  #term = "";
  #number = 0; // of the last news in step, or told
  #asked = ""; // the term whose leader was asked to let this tab join
  #isKnown = false; // the cursor belongs to the server's present log
  #last = ""; // the id of the last event
  #level = ""; // the leader's
  #connected: Block | null = null; // the control frame of the last connection
  #silentTicks = 0;

  constructor(url: string | URL, options: SharingOptions, platform: Platform) {
    super(url, options);
    const { credentials = "same-origin", name = "", openWhenHidden = true } = options;
    this.#key = `streamd-client ${VERSION} ${JSON.stringify([this.url, credentials, name])}`;
    this.#platform = platform;
    this.#openWhenHidden = openWhenHidden;
  }

  override disconnect(): void {
    this.#leave();
    super.disconnect();
  }

  // --- in place of the methods by which a stream connects -------------------------------------------

  protected override start(): void {
    this.#following = new AbortController();
    const { signal } = this.#following;
    watchPage((event) => {
      if (isRestored(event)) this.#isLeft = false;
      this.#look();
    }, signal);
    const onLeave = () => {
      this.#isLeft = true;
      this.#look();
    };
    for (const type of ["pagehide", "freeze"]) {
      globalThis.addEventListener?.(type, onLeave, { signal, capture: true }); // `freeze` does not bubble to the window
    }
    this.#isLeft = false;
    if (this.#takesPart) this.#enter();
    else this.set({ phase: "waiting" });
  }

  protected override restart(): void {
    if (this.#role === "following") this.#post({ kind: "reconnect" });
    else super.restart();
  }

  protected override close(failure: StreamFailure | null, status = failure?.status ?? this.state.status): void {
    this.#following?.abort();
    this.#tell({ state: { ...this.state, phase: "closed", status, failure } });
    this.#leave(); // before listeners are called, which may connect again
    super.close(failure, status);
  }

  protected override set(change: Partial<StreamState>): void {
    super.set(change);
    this.#tell({ state: this.state });
  }

  protected override take(block: Block): void {
    super.take(block);
    const { id, type, data } = block;
    const isControl = id === null;
    if (isControl && type === "connected") this.#connected = block;
    if ((id && data !== null) || (isControl && type === "gap") || !this.#last) this.#last = this.lastEventId;
    this.#tell({ block });
    if (this.#role !== "catching up" || block === this.#connected) return; // a gap would follow
    this.#isKnown = true;
    if (this.#level && this.lastEventId >= this.#level) {
      this.#role = "following";
      this.halt();
      this.#join();
    }
  }

  // --- taking part ----------------------------------------------------------------------------------

  get #takesPart(): boolean {
    return !this.#isLeft && (this.#openWhenHidden || !isHidden());
  }

  /** Enter or leave after a change of the page. */
  #look(): void {
    if (this.#takesPart === (this.#role !== "out")) return;
    if (this.#takesPart) {
      this.#enter();
    } else {
      this.#leave();
      this.set({ phase: "waiting" });
    }
  }

  #enter(steal = false): void {
    this.#membership = new AbortController();
    const { signal } = this.#membership;
    this.#role = "following";
    this.#isKnown = false;
    this.#term = this.#level = "";
    this.#silentTicks = 0;
    this.#channel = this.#platform.open(this.#key);
    this.#channel.onmessage = ({ data }) => this.#hear(decode(data));
    const ticker = setInterval(() => this.#tick(), TICK_MS);
    signal.addEventListener("abort", () => clearInterval(ticker));
    this.set({ phase: "connecting", attempt: 1 });
    this.#join();
    void this.#contend(signal, steal);
  }

  #leave(): void {
    this.#role = "out";
    this.#membership?.abort();
    this.#channel?.close();
    this.#channel = null;
    this.halt();
  }

  /** Ask for the lock, and hold it until this tab leaves. */
  async #contend(signal: AbortSignal, steal: boolean): Promise<void> {
    try {
      await this.#platform.locks.request(this.#key, steal ? { steal } : { signal }, () => {
        if (signal.aborted) return undefined;
        const left = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
        this.#lead();
        return left;
      });
    } catch (error) {
      if (signal.aborted) return;
      if (Object(error).name === "AbortError") {
        this.#leave(); // another tab has stolen the lock
        this.#enter();
      } else {
        this.halt();
        this.#role = "alone";
        super.start();
      }
    }
  }

  // --- leading --------------------------------------------------------------------------------------

  #lead(): void {
    const isConnecting = this.#role === "catching up";
    this.#role = "leading";
    this.#term = crypto.randomUUID();
    this.#number = 0;
    if (isConnecting) this.#tell({ state: this.state });
    else super.start(); // which sets the state, and so tells of the new term
  }

  /** Tell all tabs, or answer one that has asked to join. */
  #tell(news: Pick<News, "to" | "state" | "block">): void {
    if (this.#role !== "leading") return;
    if (!news.to) this.#number += 1;
    const cursor = this.lastEventId;
    const position = { from: this.#term, number: this.#number, cursor, level: this.#last || cursor };
    this.#post({ kind: "news", ...position, ...news });
  }

  #answer(to: string): void {
    let block: Block | undefined;
    if (this.isConnected && this.#connected) {
      const fields = parseFields(this.#connected.data ?? "");
      block = { ...this.#connected, data: JSON.stringify({ ...fields, head: this.lastEventId }) };
    }
    this.#tell({ to, state: this.state, ...(block && { block }) });
  }

  // --- following ------------------------------------------------------------------------------------

  #post(message: Message): void {
    this.#channel?.postMessage(encode(message));
  }

  #join(): void {
    this.#post({ kind: "join", from: this.#id });
  }

  #tick(): void {
    if (this.#role === "leading" || this.#role === "alone") return;
    this.#silentTicks += 1;
    if (this.#silentTicks > SILENT_TICKS_MAX) {
      this.#leave();
      this.#enter(true);
    } else if (this.#silentTicks > 1) {
      this.#join();
    }
  }

  #hear(message: Message | null): void {
    if (this.#role === "leading") {
      if (message?.kind === "join") this.#answer(message.from);
      else if (message?.kind === "reconnect") super.restart();
    } else if (message?.kind === "news" && this.#role !== "alone") {
      this.#silentTicks = 0;
      if (message.to === this.#id) this.#hearAnswer(message);
      else if (!message.to) this.#hearNews(message);
    }
  }

  #hearAnswer(news: News): void {
    const { from, number, cursor, level, state, block } = news;
    this.#term = from;
    this.#number = number;
    this.#level = level;
    this.#asked = "";
    if (this.#role !== "following") return;
    const own = this.lastEventId;
    if (own && !(cursor && own >= level && (this.#isKnown || own <= cursor))) {
      this.#role = "catching up";
      super.start();
      return;
    }
    const isGreeted = this.isConnected;
    this.#isKnown = true;
    if (block && !isGreeted) this.take(block);
    if (state && this.#role === "following") this.set(state);
  }

  #hearNews(news: News): void {
    const { from, number, level, state, block } = news;
    if (from !== this.#term || number !== this.#number + 1) {
      if (from === this.#asked) return; // the answer is on its way
      this.#asked = from;
      this.#join();
      return;
    }
    this.#number = number;
    this.#level = level;
    if (this.#role !== "following") return;
    if (block) this.take(block);
    else if (state?.phase === "closed") this.close(state.failure, state.status);
    else if (state) this.set(state);
  }
}
