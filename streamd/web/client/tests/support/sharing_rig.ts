/** A browser with tabs that share a stream of one server. */

import { SharedStream, type SharingOptions } from "../../src/sharing/shared.js";
import { LogServer } from "./log_server.js";
import { Browser, type Tab } from "./tabs.js";

export const URL_OF_STREAM = "http://127.0.0.1/events";

/** A tab, its stream, and what the stream has told. */
export class SharingTab {
  readonly tab: Tab;
  readonly stream: SharedStream;
  readonly data: string[] = [];
  readonly ids: string[] = [];
  readonly controls: string[] = [];
  readonly phases: string[] = [];
  /** The cursor at the first frame `connected`, after which no event may be missed; empty before. */
  head = "";
  readonly headersAsked: number[] = [];

  constructor(
    readonly rig: Rig,
    options: SharingOptions,
  ) {
    this.tab = rig.browser.openTab();
    const headers = () => {
      this.headersAsked.push(Date.now());
      return {};
    };
    this.stream = new SharedStream(URL_OF_STREAM, { fetch: rig.server.fetch(this.tab), headers, ...options }, this.tab);
    this.stream.onState(({ phase }) => phase !== this.phases.at(-1) && this.phases.push(phase));
    this.stream.on((event) => {
      if (event.id === "") {
        this.controls.push(event.type);
        if (event.type === "connected") this.head ||= this.stream.lastEventId;
      } else {
        this.data.push(event.data);
        this.ids.push(event.id);
      }
    });
  }

  connect(): this {
    void this.stream.connect();
    return this;
  }

  crash(): void {
    this.tab.crash();
    this.rig.server.forget(this.tab);
  }
}

export class Rig {
  readonly server: LogServer;
  readonly browser: Browser;

  constructor(random: () => number = () => 0) {
    this.server = new LogServer(random);
    this.browser = new Browser(random);
  }

  /** Open a tab with a stream, and connect it. */
  open(options: SharingOptions = {}): SharingTab {
    return new SharingTab(this, options).connect();
  }
}
