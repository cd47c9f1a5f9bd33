/**
 * One connection for all tabs of an origin, because a browser opens six connections to a server over HTTP/1.1.
 *
 * ```ts
 * import { createSharedStream } from "streamd-client/sharing";
 *
 * const stream = createSharedStream("/events", { topics: ["orders"], name: user.id, headers: () => authorization() });
 * stream.on("created", (event) => console.log(event.json()));
 * await stream.connect();
 * ```
 */

import { isRepeatable, withDefaults } from "../options.js";
import { resolveUrl } from "../page.js";
import { createStream, type EventStream } from "../stream.js";
import { SharedStream, type SharingOptions } from "./shared.js";

export type { SharingOptions } from "./shared.js";

/**
 * Make a stream whose connection is shared with the other tabs of the origin; use it like one of `createStream`.
 *
 * `headers` is asked in the tab that connects (and in others for their `send`); state, failures and control frames are
 * those of its connection. The ids of the server's events must sort in their order, as those of streamd do.
 *
 * These streams have a connection of their own: without Web Locks and BroadcastChannel (an insecure context, or an old
 * browser); with another method than GET, or a body; with a `client_id` in the URL, which names one connection; and with
 * `snapshots`, because the current state is sent to new connections only.
 */
export function createSharedStream(url: string | URL, options: SharingOptions = {}): EventStream {
  const locks = globalThis.navigator?.locks as LockManager | undefined;
  const isNamed = resolveUrl(url).searchParams.has("client_id");
  if (!locks || !isRepeatable(withDefaults(options)) || options.snapshots || isNamed) return createStream(url, options);
  return new SharedStream(url, options, { locks, open: (name) => new BroadcastChannel(name) });
}
