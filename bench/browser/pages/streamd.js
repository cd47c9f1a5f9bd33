import { createStream } from "streamd-client";
import { followStream, streamOptions } from "./follow.js";
import { offer } from "./record.js";

offer((url, options, record) => followStream(createStream(url, streamOptions(options)), record));
