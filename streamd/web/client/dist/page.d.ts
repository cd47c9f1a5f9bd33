/** What the page tells about the network: online, shown, hidden, running again. */
/**
 * - `online`: the network is back.
 * - `shown`, `hidden`: the page was shown or hidden.
 * - `restored`: the page was restored from the back/forward cache, which ends connections without telling, or resumed after
 *   it was frozen: in Chromium a response of fetch that went on meanwhile never brings a byte again.
 */
export type PageChange = "online" | "shown" | "hidden" | "restored";
/** Listen to the page until the signal is aborted; in Node nothing ever happens. */
export declare function watchPage(onChange: (change: PageChange) => void, signal: AbortSignal): void;
export declare function isHidden(): boolean;
/** Resolve a URL against the page's. */
export declare function resolveUrl(url: string | URL): URL;
