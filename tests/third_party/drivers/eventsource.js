/** `eventsource`, an EventSource for Node. */

import { EventSource } from "eventsource";
import { followSource } from "./follow_source.js";

export function follow(url, options) {
  followSource(new EventSource(url), options);
}
