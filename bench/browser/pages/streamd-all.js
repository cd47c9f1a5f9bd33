import { ladder } from "streamd-client/ladder";
import { createSharedStream } from "streamd-client/sharing";
import { followStream, streamOptions } from "./follow.js";
import { offer } from "./record.js";

offer((url, options, record) =>
  followStream(createSharedStream(url, { ...streamOptions(options), transports: ladder() }), record),
);
