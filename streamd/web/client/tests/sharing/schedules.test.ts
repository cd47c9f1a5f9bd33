import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { seeded } from "../support/log_server.js";
import { Rig, type SharingTab } from "../support/sharing_rig.js";

const SCHEDULES = 30;
const STEPS = 80;
const TABS_MAX = 6;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
});

afterEach(() => {
  vi.useRealTimers();
});

interface Expected {
  readonly tab: SharingTab;
  /** The id that the tab resumes after; null: it starts at its first connection. */
  readonly after: string | null;
}

for (let seed = 1; seed <= SCHEDULES; seed += 1) {
  test(`each tab sees each event once and in order: schedule ${seed}`, async () => {
    const random = seeded(seed);
    vi.spyOn(Math, "random").mockImplementation(random); // of the backoff
    const rig = new Rig(random);
    const { server } = rig;
    const all: Expected[] = [];
    const pick = <T>(items: readonly T[]): T | undefined => items[Math.floor(random() * items.length)];
    const living = () => all.map(({ tab }) => tab).filter(({ tab }) => !tab.hasCrashed);
    const open = (after: string | null) => {
      if (living().length >= TABS_MAX) return;
      all.push({ tab: rig.open({ backoff: { baseMs: 100, maxMs: 2000 }, ...(after && { after }) }), after });
    };
    const actions: readonly (() => unknown)[] = [
      () => server.publish(),
      () => server.nextId(),
      () => {
        for (let count = 0; count < 1 + 10 * random(); count += 1) server.publish();
      },
      () => open(null),
      () => open(pick(server.log)?.id ?? null),
      () => pick(living())?.stream.disconnect(),
      () => pick(living().filter(({ stream }) => stream.state.phase === "closed"))?.connect(),
      () => pick(living())?.crash(),
      () => living().find(({ tab }) => tab === rig.browser.holder)?.crash(),
      () => living().find(({ tab }) => tab === rig.browser.holder)?.stream.disconnect(),
      () => living().find(({ tab }) => tab === rig.browser.holder)?.tab.freeze(),
      () => pick(living())?.tab.thaw(),
      () => void pick(living().filter(({ stream }) => stream.state.phase !== "closed"))?.stream.reconnect(),
      () => server.stop(),
      () => server.start(),
    ];

    open(null);
    for (let step = 0; step < STEPS; step += 1) {
      pick(actions)!();
      await vi.advanceTimersByTimeAsync(random() < 0.1 ? 40_000 * random() : 200 * random());
    }
    server.start();
    for (const tab of living()) {
      tab.tab.thaw();
      tab.connect();
    }
    await vi.advanceTimersByTimeAsync(60_000);
    server.publish();
    await vi.advanceTimersByTimeAsync(60_000);

    const ids = server.log.map(({ id }) => id);
    const remaining = living();
    for (const { tab, after } of all) {
      const expected = ids.filter((id) => id > (after ?? tab.head));
      expect(tab.ids).toEqual(remaining.includes(tab) ? expected : expected.slice(0, tab.ids.length));
    }
    expect(server.connections.size).toBe(remaining.length > 0 ? 1 : 0);
    for (const tab of remaining) tab.stream.disconnect();
    server.close();
  });
}
