import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { expect, test, vi } from "vitest";

import { ConnectionIndicator, ProgressBar, ProgressModal, useSSE, useSSEProgress, useSSEUpdates } from "../../src/react/index.js";

test("a server renders the hooks and components, and opens nothing", () => {
  expect(typeof window).toBe("undefined");
  const fetch = vi.fn();
  const headers = vi.fn(() => ({}));

  function Page() {
    const { data, isConnected } = useSSE("/events", { fetch, headers });
    const { progress } = useSSEProgress("a1", { fetch, headers });
    const { events, connectionStatus } = useSSEUpdates("shop", { fetch, headers });
    return (
      <>
        {JSON.stringify([data, isConnected, progress, events])}
        <ConnectionIndicator status={connectionStatus} />
        <ProgressBar value={40} />
        <ProgressModal open title="Analysis" progress={40} onCancel={() => {}} />
      </>
    );
  }

  const problems = vi.spyOn(console, "error");
  const html = renderToString(createElement(Page));
  expect(html).toContain("[null,false,null,[]]");
  expect(html).toContain("Disconnected");
  expect(html).toContain('value="40"');
  expect(html).not.toMatch(/<dialog[^>]* open/);
  expect(fetch).not.toHaveBeenCalled();
  expect(headers).not.toHaveBeenCalled();
  expect(problems).not.toHaveBeenCalled();
});
