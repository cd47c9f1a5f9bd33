import { createStream } from "streamd-client";
import { ladder } from "streamd-client/ladder";
import { followStream, streamOptions } from "./follow.js";
import { offer } from "./record.js";

offer((url, options, record) =>
  followStream(createStream(url, { ...streamOptions(options), transports: ladder() }), record),
);
