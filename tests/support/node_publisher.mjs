/**
 * A program that publishes as its standard input asks: one JSON a line, answered by one JSON a line.
 *
 *   node node_publisher.mjs MODULE OPTIONS      OPTIONS: those of createPublisher, as JSON
 *
 * A line is {id, method, args}, answered {id, value} or {id, failure}; the method `headers` sets those of later attempts.
 * Of an argument {base64}, the bytes are taken.
 */

import { createInterface } from "node:readline";

const [module, options] = process.argv.slice(2);
const { createPublisher } = await import(module);

let headers = {};
const publisher = createPublisher({ ...JSON.parse(options), headers: () => headers });

async function call(method, args) {
  if (method === "headers") return void ([headers] = args);
  return await publisher[method](...args.map((value) => (value?.base64 ? Buffer.from(value.base64, "base64") : value)));
}

async function answer({ id, method, args }) {
  try {
    return { id, value: (await call(method, args)) ?? null };
  } catch ({ name, status, code, message, fatal }) {
    return { id, failure: { name, status, code, message, fatal } };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  answer(JSON.parse(line)).then((reply) => process.stdout.write(`${JSON.stringify(reply)}\n`));
}
