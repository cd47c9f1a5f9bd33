/** The messages between the tabs that share a connection. */

import { StreamFailure } from "../failure.js";
import type { StreamState } from "../options.js";
import type { Block } from "../parser.js";

/** Version of the messages and of the rules behind them; it is a part of the key, so that versions do not meet. */
export const VERSION = 1;

/** A tab asks the leader to let it follow, or whether it is still there. */
export interface Join {
  readonly kind: "join";
  /** The tab's id. */
  readonly from: string;
}

/** A tab asks the leader to make a new connection. */
export interface Reconnect {
  readonly kind: "reconnect";
}

/** What the leader tells. All that it tells in a term is numbered from 1, but for answers to a join. */
export interface News {
  readonly kind: "news";
  /** The leader's term: the id under which it takes part, new each time. */
  readonly from: string;
  /** The number of this message, or in an answer that of the last one. */
  readonly number: number;
  /** The leader's cursor, after the block; empty before it has one. */
  readonly cursor: string;
  /** The id of the last event at or before the cursor, or more: a tab that has received it has missed nothing. */
  readonly level: string;
  /** The tab that has asked to join; absent in messages to all tabs. */
  readonly to?: string;
  readonly state?: StreamState;
  /** In an answer, the control frame `connected` of the leader's connection. */
  readonly block?: Block | null;
}

export type Message = Join | Reconnect | News;

/** Make a state that a channel can copy: of a failure, which is an Error, it would copy the message alone. */
export function packState(state: StreamState): StreamState {
  const { failure } = state;
  return { ...state, failure: failure && { ...failure, message: failure.message } };
}

/** Return the state that was packed. */
export function unpackState(state: StreamState): StreamState {
  const { failure } = state;
  return { ...state, failure: failure && new StreamFailure(failure.message, failure) };
}
