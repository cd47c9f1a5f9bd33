/** The browser's own EventSource. */

import { followSource } from "./follow_source.js";

export function follow(url, options) {
  followSource(new EventSource(url), options);
}
