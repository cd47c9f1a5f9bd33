/** `reconnecting-eventsource`, which makes a new EventSource with `?lastEventId=` where the browser's own has given up. */

import ReconnectingEventSource from "reconnecting-eventsource";
import { followSource } from "./follow_source.js";

export function follow(url, options) {
  followSource(new ReconnectingEventSource(url), options);
}
