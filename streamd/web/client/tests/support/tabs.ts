/** Tabs of one browser in one process: their Web Locks and BroadcastChannels, with delays and crashes. */

import type { Platform } from "../../src/sharing/shared.js";

interface LockRequest {
  readonly tab: Tab;
  readonly callback: (lock: Lock | null) => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** What the tabs of a browser share. Locks and messages follow the standards; times and losses are chosen by `random`. */
export class Browser {
  readonly random: () => number;
  #held = new Map<string, LockRequest>();
  #pending = new Map<string, LockRequest[]>();
  #channels = new Set<Channel>();

  constructor(random: () => number = () => 0) {
    this.random = random;
  }

  /** The tab that holds a lock, if any tab holds one. */
  get holder(): Tab | undefined {
    return [...this.#held.values()][0]?.tab;
  }

  openTab(): Tab {
    return new Tab(this);
  }

  // --- Web Locks --------------------------------------------------------------------------------------

  request(tab: Tab, name: string, options: LockOptions, callback: LockRequest["callback"]): Promise<unknown> {
    if (options.steal && options.signal) return Promise.reject(new DOMException("both", "NotSupportedError"));
    return new Promise((resolve, reject) => {
      const request = { tab, callback, resolve, reject };
      const pending = this.#pending.get(name) ?? [];
      this.#pending.set(name, pending);
      if (options.steal) {
        const victim = this.#held.get(name);
        victim?.tab.run(() => victim.reject(new DOMException("stolen", "AbortError")));
        this.#held.delete(name);
        pending.unshift(request);
      } else {
        pending.push(request);
      }
      options.signal?.addEventListener("abort", () => {
        const index = pending.indexOf(request);
        if (index < 0) return;
        pending.splice(index, 1);
        reject(options.signal!.reason);
      });
      this.#grant(name);
    });
  }

  #grant(name: string): void {
    setTimeout(() => {
      const request = this.#held.has(name) ? undefined : this.#pending.get(name)?.shift();
      if (!request) return;
      this.#held.set(name, request);
      const release = (settle: (value: unknown) => void) => (value: unknown) => {
        if (this.#held.get(name) !== request) return; // stolen
        this.#held.delete(name);
        settle(value);
        this.#grant(name);
      };
      request.tab.run(() => {
        Promise.resolve(request.callback({ name, mode: "exclusive" })).then(release(request.resolve), release(request.reject));
      });
    }, 10 * this.random());
  }

  // --- BroadcastChannel ---------------------------------------------------------------------------------

  open(tab: Tab, name: string): BroadcastChannel {
    const channel = new Channel(this, tab, name);
    this.#channels.add(channel);
    return channel as unknown as BroadcastChannel;
  }

  close(channel: Channel): void {
    this.#channels.delete(channel);
  }

  /** Deliver a message to the other channels of its name: in order from each sender, but not in one order for all. */
  post(sender: Channel, data: unknown): void {
    for (const receiver of this.#channels) {
      if (receiver === sender || receiver.name !== sender.name) continue;
      const at = Math.max(Date.now() + 20 * this.random(), receiver.lastFrom.get(sender) ?? 0);
      receiver.lastFrom.set(sender, at);
      const copy = structuredClone(data);
      setTimeout(() => {
        if (sender.tab.hasCrashed && at >= sender.tab.lostAfter(receiver.tab)) return;
        if (receiver.tab.isDeaf) return;
        receiver.tab.run(() => this.#channels.has(receiver) && receiver.onmessage?.(new MessageEvent("message", { data: copy })));
      }, at - Date.now());
    }
  }

  /** Forget a tab, as the browser does when its process dies. */
  drop(tab: Tab): void {
    for (const channel of this.#channels) if (channel.tab === tab) this.#channels.delete(channel);
    for (const [name, pending] of this.#pending) {
      this.#pending.set(
        name,
        pending.filter((request) => request.tab !== tab),
      );
      if (this.#held.get(name)?.tab === tab) this.#held.delete(name);
      this.#grant(name);
    }
  }
}

class Channel {
  onmessage: ((event: MessageEvent) => void) | null = null;
  readonly lastFrom = new Map<Channel, number>();
  isClosed = false;

  constructor(
    readonly browser: Browser,
    readonly tab: Tab,
    readonly name: string,
  ) {}

  postMessage(data: unknown): void {
    const copy = structuredClone(data);
    if (this.isClosed) throw new DOMException("the channel is closed", "InvalidStateError");
    if (!this.tab.hasCrashed) this.browser.post(this, copy);
  }

  close(): void {
    this.isClosed = true;
    this.browser.close(this);
  }
}

/** One tab. After a crash nothing happens in it any more, and nothing that it does reaches another. */
export class Tab implements Platform {
  hasCrashed = false;
  /** True while messages to this tab are lost. */
  isDeaf = false;
  readonly locks: Platform["locks"];
  #browser: Browser;
  #frozen: (() => void)[] | null = null;
  #lostAfter = new Map<Tab, number>();

  constructor(browser: Browser) {
    this.#browser = browser;
    const request = (name: string, options: LockOptions, callback: (lock: Lock | null) => unknown) =>
      this.hasCrashed ? new Promise(() => {}) : browser.request(this, name, options, callback);
    this.locks = { request: request as LockManager["request"] };
  }

  open(name: string): BroadcastChannel {
    return this.#browser.open(this, name);
  }

  /** Run a task of the tab: now, never, or when it is no longer frozen. */
  run(task: () => void): void {
    if (this.#frozen) this.#frozen.push(task);
    else if (!this.hasCrashed) task();
  }

  crash(): void {
    this.hasCrashed = true;
    this.#browser.drop(this);
  }

  /** From when on messages of this tab, which has crashed, are lost for a receiver. */
  lostAfter(receiver: Tab): number {
    if (!this.#lostAfter.has(receiver)) this.#lostAfter.set(receiver, Date.now() + 20 * this.#browser.random());
    return this.#lostAfter.get(receiver)!;
  }

  /** Stop the tab, as a dialog or a debugger does: it keeps its locks. */
  freeze(): void {
    this.#frozen ??= [];
  }

  thaw(): void {
    const tasks = this.#frozen ?? [];
    this.#frozen = null;
    for (const task of tasks) this.run(task);
  }
}
