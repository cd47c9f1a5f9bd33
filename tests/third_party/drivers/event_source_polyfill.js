/** `event-source-polyfill`, over fetch, which sends the last event id in the query (`?lastEventId=`). */

import { EventSourcePolyfill } from "event-source-polyfill";
import { followSource } from "./follow_source.js";

export function follow(url, options) {
  followSource(new EventSourcePolyfill(url), options);
}
