/** Streams over one transport, or a ladder of them, against a scripted server. */

import { vi } from "vitest";

import { createStream, type EventFields, type EventStream, type StreamOptions, type Transport, type TransportChooser } from "../../src/index.js";
import { ScriptedServer } from "../support/scripted.js";
import { FakeWebSocket } from "../support/sockets.js";

export const NOW = Date.parse("2026-01-01T12:00:00Z");

/** Return an event id; later numbers are later ids. */
export function eventId(number: number): string {
  return `1700000000000-${String(number).padStart(6, "0")}`;
}

export class Rig {
  readonly server = new ScriptedServer();
  readonly events: EventFields[] = [];
  readonly controls: EventFields[] = [];
  readonly transports: string[] = []; // of each attempt
  stream!: EventStream;

  constructor() {
    vi.useFakeTimers({ now: NOW });
    vi.spyOn(Math, "random").mockReturnValue(0.5);
    vi.stubGlobal("WebSocket", FakeWebSocket);
    FakeWebSocket.reset();
  }

  /** Open a stream of /events. */
  async open(transports: Transport | TransportChooser, options: StreamOptions = {}, url = "http://streamd.test/events?topic=a"): Promise<this> {
    const chooser = "choose" in transports ? transports : { firstBlockMs: null, choose: () => transports, learn: () => false };
    this.stream = createStream(url, { fetch: this.server.fetch as typeof fetch, transports: this.#observe(chooser), ...options });
    this.stream.on((event) => (event.id ? this.events : this.controls).push({ ...event }));
    this.stream.connect().catch(() => {});
    await this.pass();
    return this;
  }

  #observe(chooser: TransportChooser): TransportChooser {
    return {
      firstBlockMs: chooser.firstBlockMs,
      learn: (outcome) => chooser.learn(outcome),
      choose: (url) => {
        const transport = chooser.choose(url);
        this.transports.push(transport.name);
        return transport;
      },
    };
  }

  /** Let time pass (ms), and what is due happen. */
  async pass(ms = 0): Promise<void> {
    await vi.advanceTimersByTimeAsync(ms);
  }

  close(): void {
    this.stream.disconnect();
    vi.useRealTimers();
  }
}
