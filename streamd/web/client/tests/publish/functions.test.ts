import { expect, test } from "vitest";

import { configurePublisher, publish, publishMerchantStage } from "../../src/publish/index.js";
import { ScriptedServer } from "./scripted.js";

test("the functions publish to the server that was configured", async () => {
  await expect(publish("a", 1)).rejects.toMatchObject({ code: "not-configured", name: "StreamFailure" });
  const server = new ScriptedServer([201, { id: "1-1" }], [201, { id: "1-2" }]);
  configurePublisher({ url: "http://server", fetch: server.fetch });
  expect(await publish("a", 1, { type: "t" })).toBe("1-1");
  expect(await publishMerchantStage("m", { stage: "ai_parsing", poId: "po-1", workflowId: "1" })).toBe("1-2");
  expect(server.received.map(({ body }) => body.topics)).toEqual([["a"], ["merchant:m:stage"]]);
});
