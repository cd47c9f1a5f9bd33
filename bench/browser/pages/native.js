import { followSource, offer, resumeAfter } from "./record.js";

// The constructor ignores headers, method and body: it has no such options.
offer((url, { after, ...options }, record) => followSource(new EventSource(resumeAfter(url, after), options), record));
