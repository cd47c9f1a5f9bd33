import ReconnectingEventSource from "reconnecting-eventsource";
import { followSource, offer, resumeAfter } from "./record.js";

// The wait after a rejection is evenly distributed between 0 and max_retry_time, as the first one of streamd-client.
offer((url, { after, backoffMs, ...rest }, record) => {
  const options = backoffMs ? { ...rest, max_retry_time: backoffMs } : rest;
  followSource(new ReconnectingEventSource(resumeAfter(url, after), options), record);
});
