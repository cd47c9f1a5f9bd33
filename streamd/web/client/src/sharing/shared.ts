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
 * 2. The answer to a join has the leader's cursor, and its level: the id of the last event at or before the cursor, or more.
 *    A tab whose own cursor is between them has missed nothing, and follows. A tab without a cursor starts at the leader's.
 * 3. A tab behind the level opens a private connection from its own cursor, which replays the events that it has missed, and
 *    closes it when it has reached the level. It stays in step meanwhile, so that it knows the level.
 * 4. A new leader resumes after its own cursor, without asking the others: those who have received less than it catch up by
 *    rule 3, and those who have received more drop the repeats. Where a leader dies, the tabs have received the same events
 *    but for those that are still on their way, so private connections are rare.
 *
 * A cursor beyond the leader's may belong to another log, whose ids are greater; only the server knows, and tells by a
 * `gap`. So such a tab opens a private connection, too, if only for one block: it may as well be ahead of a new leader.
 *
 * | role        | event                              | next        | action                                             |
 * | ----------- | ---------------------------------- | ----------- | -------------------------------------------------- |
 * | out         | connect(), shown, restored         | following   | open the channel, ask for the lock, ask to join    |
 * | following   | lock granted                       | leading     | new term; connect after the cursor                 |
 * | following   | answer, cursor between the two     | following   | in step: take the state, and the news that follow  |
 * | following   | answer, cursor behind or beyond    | catching up | connect privately after the cursor                 |
 * | following   | news out of step                   | following   | ask to join                                        |
 * | following   | the state `closed`                 | out         | close with the leader's failure                    |
 * | catching up | block, cursor at the level         | following   | close the private connection; ask for the state    |
 * | catching up | lock granted                       | leading     | new term; the private connection is the shared one |
 * | catching up | fatal failure of the connection    | out         | close                                              |
 * | both        | silence of the leader              | leading     | steal the lock                                     |
 * | leading     | lock stolen                        | following   | disconnect, ask for the lock, ask to join          |
 * | leading     | fatal failure, end of the stream   | out         | tell the state `closed`                            |
 * | any         | disconnect(), hidden, frozen, left | out         | disconnect; release the lock; close the channel    |
 * | following   | the lock is refused (no storage)   | leading     | connect, like all others                           |
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

import type { StreamFailure } from "../failure.js";
import type { StreamOptions, StreamState } from "../options.js";
import { isHidden, isRestored, watchPage } from "../page.js";
import type { Block } from "../parser.js";
import { EventStream } from "../stream.js";
import { VERSION, packState, unpackState, type Message, type News } from "./message.js";

const TICK_MS = 5000;
const SILENT_TICKS_MAX = 4; // then the leader is taken for stopped; it is asked from the second one on
const ASKED = Infinity; // in place of a number: no news are in step until the leader has answered

type Role = "out" | "following" | "catching up" | "leading";

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
  #id = ""; // of the membership, and of its term if it takes the lead
  #role: Role = "out";
  #following: AbortController | null = null; // from start() to the end
  #membership: AbortController | null = null; // while the role is not `out`
  #channel: BroadcastChannel | null = null; // closed while the role is `out`
  #isLeft = false; // the page is frozen, or in the back/forward cache
  #term = ""; // the id of the leader that was asked, or has answered
  #number = ASKED; // of the last news in step, or told
  #level = ""; // see above
  #greeting: Block | null = null; // the control frame `connected` of the last connection
  #silentTicks = 0;

  constructor(url: string | URL, options: SharingOptions, platform: Platform) {
    super(url, options);
    const { credentials, name, openWhenHidden = true } = options;
    this.#key = `streamd-client ${VERSION} ${JSON.stringify([this.url, credentials, name])}`;
    this.#platform = platform;
    this.#openWhenHidden = openWhenHidden;
  }

  // --- in place of the methods by which a stream connects -------------------------------------------

  protected override start(): void {
    this.#following = new AbortController();
    const { signal } = this.#following;
    watchPage((event) => this.#look(this.#isLeft && !isRestored(event)), signal);
    watchPage(() => this.#look(true), signal, ["pagehide", "freeze"]);
    this.#look(false);
  }

  protected override restart(): void {
    if (this.#role === "following") this.#post({ kind: "reconnect" });
    else super.restart();
  }

  protected override close(failure: StreamFailure | null, status: number | null = null): void {
    this.#following?.abort();
    if (failure ?? status) this.#tell({ state: { ...this.state, phase: "closed", status, failure } }); // not by disconnect()
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
    const isGreeting = id === null && type === "connected";
    if (isGreeting) this.#greeting = block;
    if (this.#role !== "catching up") {
      if ((id ? data !== null : type === "gap") || !this.#level) this.#level = this.lastEventId;
      this.#tell({ block });
    } else if (!isGreeting && this.#level && this.lastEventId >= this.#level) {
      this.#role = "following"; // and not after the greeting, which a gap may follow
      this.halt();
      this.#join();
    }
  }

  // --- taking part ----------------------------------------------------------------------------------

  /** Enter or leave after a change of the page. */
  #look(isLeft: boolean): void {
    this.#isLeft = isLeft;
    if (isLeft || (!this.#openWhenHidden && isHidden())) {
      this.#leave();
      this.set({ phase: "waiting" });
    } else if (this.#role === "out") {
      this.#enter();
    }
  }

  #enter(steal = false): void {
    this.#membership = new AbortController();
    const { signal } = this.#membership;
    this.#role = "following";
    this.#id = crypto.randomUUID();
    this.#term = "";
    this.#silentTicks = 0;
    const channel = (this.#channel = this.#platform.open(this.#key));
    channel.onmessage = ({ data }) => this.#hear(data as Message);
    const ticker = setInterval(() => this.#tick(), TICK_MS);
    signal.addEventListener("abort", () => {
      clearInterval(ticker);
      channel.close();
    });
    this.#join();
    void this.#contend(signal, steal);
    this.set({ phase: "connecting", attempt: 1 }); // last: a listener may disconnect
  }

  #leave(): void {
    this.#role = "out";
    this.#membership?.abort();
    this.halt();
  }

  /** Ask for the lock, and hold it until this tab leaves. */
  async #contend(signal: AbortSignal, steal: boolean): Promise<void> {
    try {
      await this.#platform.locks.request(this.#key, steal ? { steal } : { signal }, () => {
        if (signal.aborted) return undefined;
        const left = new Promise((resolve) => signal.addEventListener("abort", resolve));
        this.#lead();
        return left;
      });
    } catch (error) {
      if (signal.aborted) return;
      if ((error as Error).name === "AbortError") {
        this.#leave(); // another tab has stolen the lock
        this.#enter();
      } else {
        this.#lead(); // there are no locks here, so nobody follows
      }
    }
  }

  // --- leading --------------------------------------------------------------------------------------

  #lead(): void {
    const isConnecting = this.#role === "catching up";
    this.#role = "leading";
    this.#number = 0;
    this.#level = this.lastEventId; // perhaps more than it is, as this tab may be ahead of the old leader
    if (isConnecting) this.#tell({ state: this.state });
    else super.start(); // which sets the state, and so tells of the new term
  }

  /** Tell all tabs, or answer one that has asked to join. */
  #tell({ state, ...news }: Pick<News, "to" | "state" | "block">): void {
    if (this.#role !== "leading") return;
    if (!news.to) this.#number += 1;
    const position = { from: this.#id, number: this.#number, cursor: this.lastEventId, level: this.#level };
    this.#post({ kind: "news", ...position, ...news, ...(state && { state: packState(state) }) });
  }

  // --- following ------------------------------------------------------------------------------------

  #post(message: Message): void {
    this.#channel!.postMessage(message);
  }

  #join(): void {
    this.#post({ kind: "join", from: this.#id });
  }

  #tick(): void {
    if (this.#role === "leading") return;
    this.#silentTicks += 1;
    if (this.#silentTicks > SILENT_TICKS_MAX) {
      this.#leave();
      this.#enter(true);
    } else if (this.#silentTicks > 1) {
      this.#join();
    }
  }

  #hear(message: Message): void {
    if (this.#role !== "leading") {
      if (message.kind === "news") this.#hearNews(message);
    } else if (message.kind === "join") {
      this.#tell({ to: message.from, state: this.state, ...(this.isConnected && { block: this.#greeting }) });
    } else if (message.kind === "reconnect") {
      super.restart();
    }
  }

  #hearNews({ from, number, cursor, level, to, state: packed, block }: News): void {
    this.#silentTicks = 0;
    if (to && to !== this.#id) return;
    if (!to && (from !== this.#term || number !== this.#number + 1)) {
      if (from !== this.#term || this.#number !== ASKED) this.#join();
      this.#term = from;
      this.#number = ASKED;
      return;
    }
    this.#term = from;
    this.#number = number;
    this.#level = level;
    if (this.#role !== "following") return;
    const own = this.lastEventId;
    const state = packed && unpackState(packed);
    if (to && own && (own < level || own > cursor)) {
      this.#role = "catching up";
      super.start();
    } else if (state?.phase === "closed") {
      this.close(state.failure, state.status);
    } else {
      if (block && !(to && this.isConnected)) {
        if (to) this.take({ ...block, id: cursor, data: null }); // moves this tab's cursor to the leader's
        this.take(block);
      }
      if (state && this.#role === "following") this.set(state);
    }
  }
}
