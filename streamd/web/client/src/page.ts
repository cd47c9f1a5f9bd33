/** What the page tells about the network: online, shown, hidden, running again. */

/**
 * - `online`: the network is back.
 * - `shown`, `hidden`: the page was shown or hidden.
 * - `restored`: the page was restored from the back/forward cache, which ends connections without telling, or resumed after
 *   it was frozen: in Chromium a response of fetch that went on meanwhile never brings a byte again.
 */
export type PageChange = "online" | "shown" | "hidden" | "restored";

/** Listen to the page until the signal is aborted; in Node nothing ever happens. */
export function watchPage(onChange: (change: PageChange) => void, signal: AbortSignal): void {
  if (typeof document === "undefined") return;
  addEventListener("online", () => onChange("online"), { signal });
  addEventListener("pageshow", (event) => event.persisted && onChange("restored"), { signal });
  document.addEventListener("resume", () => onChange("restored"), { signal }); // does not bubble to the window
  document.addEventListener("visibilitychange", () => onChange(isHidden() ? "hidden" : "shown"), { signal });
}

export function isHidden(): boolean {
  return typeof document !== "undefined" && document.hidden;
}

/** Resolve a URL against the page's. */
export function resolveUrl(url: string | URL): URL {
  return new URL(url, typeof document === "undefined" ? undefined : document.baseURI);
}
