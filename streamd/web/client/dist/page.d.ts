/** What a page or worker tells about the network; in Node nothing. */
/** Listen to what the network and the page tell, until the signal is aborted. */
export declare function watchPage(onChange: (event: Event) => void, signal: AbortSignal, types?: string[]): void;
/**
 * Return true if the page comes from the back/forward cache, which ends connections without telling, or was frozen: in
 * Chromium a response of fetch that went on meanwhile never brings a byte again.
 */
export declare function isRestored(event: Event): boolean;
export declare function isHidden(): boolean;
/** Return true if the browser knows that there is no network; a server on this computer may still answer. */
export declare function isOffline(): boolean;
/** Resolve a URL against the page's, or the worker's. */
export declare function resolveUrl(url: string | URL): URL;
