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
import type { Block } from "../parser.js";
import { EventStream } from "../stream.js";
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
export declare class SharedStream extends EventStream {
    #private;
    constructor(url: string | URL, options: SharingOptions, platform: Platform);
    protected start(): void;
    protected restart(): void;
    protected close(failure: StreamFailure | null, status?: number | null): void;
    protected set(change: Partial<StreamState>): void;
    protected take(block: Block): void;
}
