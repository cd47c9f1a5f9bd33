/** A server whose answers a test writes, behind a fake of fetch. */

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  readonly body: string;
}

type Answer = Response | Promise<Response> | ScriptedStream;

/** Answers requests by their path; all others find no network. */
export class ScriptedServer {
  readonly requests: SeenRequest[] = [];
  /** All streams that were requested. */
  readonly streams: ScriptedStream[] = [];
  #routes = new Map<string, (request: SeenRequest) => Answer>();

  on(path: string, answer: (request: SeenRequest) => Answer): this {
    this.#routes.set(path, answer);
    return this;
  }

  off(path: string): void {
    this.#routes.delete(path);
  }

  /** Answer a path with streams; the newest is the last of `streams`. */
  stream(path: string, begin: (stream: ScriptedStream) => void = (stream) => void stream.send("connected", {})): this {
    return this.on(path, () => {
      const stream = new ScriptedStream();
      begin(stream);
      return stream;
    });
  }

  get open(): number {
    return this.streams.filter((stream) => stream.isOpen).length;
  }

  get last(): ScriptedStream {
    return this.streams.at(-1)!;
  }

  paths(): string[] {
    return this.requests.map(({ method, path }) => `${method} ${path}`);
  }

  readonly fetch = async (url: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    init.signal?.throwIfAborted();
    const { pathname, search } = new URL(String(url));
    const request = {
      method: init.method ?? "GET",
      path: pathname + search,
      headers: new Headers(init.headers),
      body: String(init.body ?? ""),
    };
    this.requests.push(request);
    const route = this.#routes.get(request.path) ?? this.#routes.get(pathname);
    if (!route) throw new TypeError("no network");
    const answer = route(request);
    if (!(answer instanceof ScriptedStream)) return answer;
    this.streams.push(answer);
    init.signal?.addEventListener("abort", () => answer.break());
    return new Response(answer.body, { headers: { "Content-Type": "text/event-stream; charset=utf-8" } });
  };
}

/** One event stream, open until the test or the client ends it. */
export class ScriptedStream {
  isOpen = true;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  readonly body = new ReadableStream<Uint8Array>({
    start: (controller) => void (this.#controller = controller),
    cancel: () => void (this.isOpen = false),
  });

  send(type: string, data: unknown, id?: string): this {
    const lines = [`event: ${type}`, ...(id === undefined ? [] : [`id: ${id}`]), `data: ${JSON.stringify(data)}`];
    return this.write(lines.join("\n") + "\n\n");
  }

  /** Send bytes as they are. */
  write(bytes: string | Uint8Array): this {
    this.#controller.enqueue(typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes);
    return this;
  }

  /** End the stream in an orderly way. */
  end(): void {
    if (this.isOpen) this.#controller.close();
    this.isOpen = false;
  }

  /** Lose the connection. */
  break(): void {
    if (this.isOpen) this.#controller.error(new TypeError("the connection was lost"));
    this.isOpen = false;
  }
}

export function json(value: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(value), { status, headers: { "Content-Type": "application/json", ...headers } });
}

/** A problem of the server (RFC 9457). */
export function problem(status: number, code: string, headers: Record<string, string> = {}): Response {
  return json({ status, code, detail: `the problem is ${code}` }, status, headers);
}
