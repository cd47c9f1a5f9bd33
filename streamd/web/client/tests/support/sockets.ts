/** WebSockets that a test opens, speaks on and closes. */

/** A fake of the browser's WebSocket. `FakeWebSocket.all` has those that were made, the newest last. */
export class FakeWebSocket {
  static readonly OPEN = 1;
  static all: FakeWebSocket[] = [];
  /** What becomes of each new socket; by default nothing, it keeps connecting. */
  static onCreate: (socket: FakeWebSocket) => void = () => {};

  static reset(): void {
    FakeWebSocket.all = [];
    FakeWebSocket.onCreate = () => {};
  }

  static get last(): FakeWebSocket {
    return FakeWebSocket.all.at(-1)!;
  }

  readonly url: URL;
  readonly sent: Record<string, unknown>[] = [];
  readyState = 0;
  onopen: () => void = () => {};
  onmessage: (event: { data: string }) => void = () => {};
  onclose: (event: { code: number }) => void = () => {};

  constructor(url: URL) {
    this.url = new URL(url);
    FakeWebSocket.all.push(this);
    queueMicrotask(() => FakeWebSocket.onCreate(this));
  }

  get isOpen(): boolean {
    return this.readyState === 1;
  }

  accept(): this {
    this.readyState = 1;
    this.onopen();
    return this;
  }

  /** Receive a message of the server: JSON text, or a value. */
  receive(...messages: unknown[]): this {
    for (const message of messages) {
      if (this.isOpen) this.onmessage({ data: typeof message === "string" ? message : JSON.stringify(message) });
    }
    return this;
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }

  /** Called by the client, which then gets a close frame without a code; or by the server. */
  close(code = this.readyState === 1 ? 1005 : 1006): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    queueMicrotask(() => this.onclose({ code }));
  }
}
