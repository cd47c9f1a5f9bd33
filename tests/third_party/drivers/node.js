/**
 * Run a driver in Node, and print a JSON array `[type, data, id]` for each event, and `["end", reason, ""]` at its end.
 *
 *   node node.js DRIVER URL TYPE...
 */

const [driver, url, ...types] = process.argv.slice(2);
const { follow } = await import(`./${driver}.js`);

const record = (...event) => console.log(JSON.stringify(event));
follow(url, { types, record, end: (reason) => record("end", reason, "") });
