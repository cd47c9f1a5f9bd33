/**
 * Follow an EventSource, or a class with its interface.
 *
 * Events of the type `error` without data are the library's own: the connection is lost, or given up (CLOSED).
 */
export function followSource(source, { types, record, end }) {
  source.onopen = () => record("open", "", "");
  for (const type of types) {
    source.addEventListener(type, (event) => {
      if (event.data === undefined) {
        if (type === "error" && source.readyState === 2) end("the library has closed the stream");
      } else {
        record(type, event.data, event.lastEventId);
      }
    });
  }
}
