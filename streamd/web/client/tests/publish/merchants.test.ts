import { expect, test } from "vitest";

import { createPublisher } from "../../src/publish/index.js";
import { ScriptedServer, type Reply } from "./scripted.js";

const OF = { stage: "database_save", poId: "po-1", workflowId: "1" } as const;
const PUBLISHED: Reply = [201, { id: "1-1" }];

function make(count: number) {
  const server = new ScriptedServer(...Array<Reply>(count).fill(PUBLISHED));
  return { server, publisher: createPublisher({ url: "http://server", fetch: server.fetch }) };
}

test("each kind of event has its topic, its type and the contract's fields", async () => {
  const { server, publisher } = make(5);
  await publisher.publishMerchantStage("m", { ...OF, message: "Saving to database" });
  await publisher.publishMerchantProgress("m", { ...OF, progress: 30, message: "Validating AI results" });
  await publisher.publishMerchantCompletion("m", { ...OF, lineItems: 3, confidence: 91.26, purchaseOrderId: "po-1", shopifyOrderId: "s" });
  await publisher.publishMerchantCompletion("m", OF);
  await publisher.publishMerchantError("m", { ...OF, error: "no space" });
  const sent = server.received.map(({ body }) => [body.topics, body.type, body.data]);
  expect(sent).toEqual([
    [["merchant:m:stage"], "stage", { ...OF, status: "started", message: "Saving to database" }],
    [["merchant:m:progress"], "progress", { ...OF, progress: 30, message: "Validating AI results" }],
    [["merchant:m:completion"], "completion", { ...OF, lineItems: 3, confidence: 91.3, purchaseOrderId: "po-1", shopifyOrderId: "s" }],
    [["merchant:m:completion"], "completion", { ...OF }],
    [["merchant:m:error"], "error", { ...OF, error: "no space" }],
  ]);
});

test("progress is rounded down to a tenth, and never up to 100", async () => {
  const values = [0, 28.999999999999996, 33.39, 99.99, 99.9999999, 100];
  const { server, publisher } = make(values.length);
  for (const progress of values) await publisher.publishMerchantProgress("m", { ...OF, progress });
  expect(server.received.map(({ body }) => body.data.progress)).toEqual([0, 29, 33.3, 99.9, 99.9, 100]);
});

test.each([-1, 100.5, Number.NaN, "50"])("progress and confidence of %s are rejected", async (value) => {
  const { server, publisher } = make(0);
  const percent = value as number;
  const failure = (field: string) => ({ code: "invalid-field", message: `${field} must be a number from 0 to 100, and is ${value}` });
  await expect(publisher.publishMerchantProgress("m", { ...OF, progress: percent })).rejects.toMatchObject(failure("progress"));
  await expect(publisher.publishMerchantCompletion("m", { ...OF, confidence: percent })).rejects.toMatchObject(failure("confidence"));
  expect(server.received).toHaveLength(0);
});

test.each(["", " m", "m:x", "a/b", "*"])("a merchant's id of %j, which would be another topic, is rejected", async (id) => {
  const { publisher } = make(0);
  await expect(publisher.publishMerchantStage(id, OF)).rejects.toMatchObject({ code: "invalid-field", fatal: true });
});
