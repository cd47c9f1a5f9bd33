/** What a page or worker tells about the network; in Node nothing. */

const CHANGES = ["online", "offline", "visibilitychange", "pageshow", "resume"];

/** Listen to what the network and the page tell, until the signal is aborted. */
export function watchPage(onChange: (event: Event) => void, signal: AbortSignal, types = CHANGES): void {
  for (const type of types) {
    globalThis.addEventListener?.(type, onChange, { signal, capture: true }); // `freeze` and `resume` do not bubble to the window
  }
}

/**
 * Return true if the page comes from the back/forward cache, which ends connections without telling, or was frozen: in
 * Chromium a response of fetch that went on meanwhile never brings a byte again.
 */
export function isRestored(event: Event): boolean {
  return event.type === "resume" || (event as PageTransitionEvent).persisted;
}

export function isHidden(): boolean {
  return globalThis.document?.hidden ?? false;
}

/** Return true if the browser knows that there is no network; a server on this computer may still answer. */
export function isOffline(): boolean {
  return globalThis.navigator?.onLine === false;
}

/** Resolve a URL against the page's, or the worker's. */
export function resolveUrl(url: string | URL): URL {
  return new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
}
