/** A server with a log, in the process: connections, replay after a cursor, heartbeats, gaps, and restarts. */

const HEARTBEAT_MS = 15_000;

interface LoggedEvent {
  readonly id: string;
  readonly data: string;
}

interface ServedConnection {
  send(text: string): void;
  end(error?: Error): void;
  readonly client: Client;
}

/** The process of a client. */
export interface Client {
  readonly hasCrashed: boolean;
  /** Run a task of the client: it comes later while the client stands still, and never after a crash. */
  run(task: () => void): void;
}

export class LogServer {
  readonly log: LoggedEvent[] = [];
  isUp = true;
  /** Answers in place of streams, by status. */
  rejects: number | null = null;
  connectionsMade = 0;
  /** Events published to a topic that nobody follows have moved the head. */
  head = eventId(0);
  readonly connections = new Set<ServedConnection>();
  #random: () => number;
  #ticker = setInterval(() => this.#beat(), HEARTBEAT_MS);
  #dropped = "";
  #count = 0;

  constructor(random: () => number = () => 0) {
    this.#random = random;
  }

  close(): void {
    clearInterval(this.#ticker);
  }

  publish(data = ""): string {
    const event = { id: this.nextId(), data: data || String(this.log.length) };
    this.log.push(event);
    for (const connection of this.connections) connection.send(block(event));
    return event.id;
  }

  /** Move the head as an event of another topic does. */
  nextId(): string {
    return (this.head = eventId((this.#count += 1)));
  }

  /** Drop all events from the log. */
  trim(): void {
    this.#dropped = this.head;
  }

  stop(): void {
    this.isUp = false;
    for (const connection of [...this.connections]) connection.end(new Error("the server was killed"));
  }

  start(): void {
    this.isUp = true;
  }

  /** End the connections of a client whose process has died. */
  forget(client: Client): void {
    for (const connection of this.connections) if (connection.client === client) this.connections.delete(connection);
  }

  /** The fetch of a client. */
  fetch(client: Client): typeof fetch {
    const run = (task: () => void) => client.run(task);
    return (_url, init) =>
      new Promise<Response>((resolve, reject) => {
        const signal = init?.signal;
        const onAbort = () => reject(signal?.reason);
        signal?.addEventListener("abort", onAbort);
        setTimeout(() => {
          if (signal?.aborted || client.hasCrashed) return;
          if (!this.isUp) run(() => reject(new TypeError("refused")));
          else if (this.rejects) run(() => resolve(new Response("{}", { status: this.rejects! })));
          else if (init?.method === "POST") resolve(Response.json({ id: this.publish(String(init.body)) }));
          else {
            const response = this.#serve(new Headers(init?.headers).get("Last-Event-ID") ?? "", client, signal ?? null);
            run(() => resolve(response));
          }
        }, 50 * this.#random());
      });
  }

  #serve(after: string, client: Client, signal: AbortSignal | null): Response {
    const encoder = new TextEncoder();
    let isOpen = true;
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) });
    let sentAt = 0;
    const later = (task: () => void) => {
      sentAt = Math.max(sentAt, Date.now() + 50 * this.#random()); // in order
      setTimeout(() => client.run(() => isOpen && task()), sentAt - Date.now());
    };
    const connection: ServedConnection = {
      client,
      send: (text) => later(() => controller.enqueue(encoder.encode(text))),
      end: (error) => {
        this.connections.delete(connection);
        later(() => {
          isOpen = false;
          if (error) controller.error(error);
          else controller.close();
        });
      },
    };
    signal?.addEventListener("abort", () => {
      this.connections.delete(connection);
      if (isOpen) controller.error(signal.reason);
      isOpen = false;
    });
    this.connections.add(connection);
    this.connectionsMade += 1;
    connection.send(control("connected", { head: this.head, heartbeat_seconds: HEARTBEAT_MS / 1000 }));
    if (after && (after < this.#dropped || after > this.head)) {
      connection.send(control("gap", { requested: after, resumed_after: this.head }));
    } else if (after) {
      for (const event of this.log) if (event.id > after) connection.send(block(event));
    }
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  }

  #beat(): void {
    for (const connection of this.connections) {
      connection.send(control("heartbeat", {}));
      connection.send(`id: ${this.head}\n\n`);
    }
  }
}

export function eventId(number: number): string {
  return `1790000000000-${String(number).padStart(6, "0")}`;
}

function block({ id, data }: LoggedEvent): string {
  return `id: ${id}\nevent: number\ndata: ${data}\n\n`;
}

function control(name: string, fields: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(fields)}\n\n`;
}

/** Return a generator of numbers in [0, 1) that is the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
