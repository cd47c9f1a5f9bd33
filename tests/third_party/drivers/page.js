/**
 * Run a driver in a page. `esbuild` bundles this module with the driver that is its alias "driver".
 *
 * `received` has an array `[type, data, id]` for each event, and `["end", reason, ""]` at the driver's end.
 */

import { follow } from "driver";

window.start = (url, types) => {
  const received = (window.received = []);
  const record = (...event) => received.push(event);
  follow(url, { types, record, end: (reason) => record("end", reason, "") });
};
