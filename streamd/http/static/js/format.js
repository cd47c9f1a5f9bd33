// Formats of numbers, sizes and times. Pure functions; null and undefined become a dash.

const DASH = "–";
const SPACE = "\u00a0"; // prevents a line break between a number and its unit
const DECIMAL = ["B", "kB", "MB", "GB", "TB"];
const BINARY = ["B", "KiB", "MiB", "GiB", "TiB"];

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clockTime = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const clockMilliseconds = new Intl.DateTimeFormat("en", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
});

const missing = (value) => value === null || value === undefined || Number.isNaN(value);

export const count = (value) => (missing(value) ? DASH : grouped.format(value));

export const percent = (value) => (missing(value) ? DASH : `${value.toFixed(1)}${SPACE}%`);

// Write three significant digits: a constant width, and no false precision.
function scaled(value, base, units) {
  let power = 0;
  while (value >= 999.5 && power < units.length - 1) {
    value /= base;
    power += 1;
  }
  const digits = power === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)}${SPACE}${units[power]}`;
}

export const bytes = (value) => (missing(value) ? DASH : scaled(value, 1000, DECIMAL));

export const binaryBytes = (value) => (missing(value) ? DASH : scaled(value, 1024, BINARY));

export const byteRate = (value) => (missing(value) ? DASH : `${bytes(value)}/s`);

export const rate = (value) => (missing(value) ? DASH : `${value.toFixed(value < 9.95 ? 1 : 0)}${SPACE}/s`);

export function duration(seconds) {
  if (missing(seconds)) return DASH;
  if (seconds < 59.95) return `${seconds.toFixed(seconds < 9.95 ? 1 : 0)}${SPACE}s`;
  const [days, hours, minutes] = [seconds / 86400, (seconds / 3600) % 24, (seconds / 60) % 60].map(Math.floor);
  if (days) return `${days}${SPACE}d ${hours}${SPACE}h`;
  if (hours) return `${hours}${SPACE}h ${minutes}${SPACE}min`;
  return `${minutes}${SPACE}min ${Math.floor(seconds % 60)}${SPACE}s`;
}

export function latency(milliseconds) {
  if (missing(milliseconds)) return DASH;
  if (milliseconds < 0) return `clocks differ by ${duration(-milliseconds / 1000)}`;
  if (milliseconds < 1) return `under 1${SPACE}ms`;
  return milliseconds < 10_000 ? `${Math.round(milliseconds)}${SPACE}ms` : duration(milliseconds / 1000);
}

export const clock = (ms) => (missing(ms) ? DASH : clockTime.format(ms));

export const preciseClock = (ms) => (missing(ms) ? DASH : clockMilliseconds.format(ms));

export function protocol(name) {
  const names = { "http/1.0": "HTTP/1.0", "http/1.1": "HTTP/1.1", h2: "HTTP/2", h2c: "HTTP/2", h3: "HTTP/3" };
  return names[name] ?? (name || DASH);
}

// A WebSocket has a connection of its own; the others share that of the page's requests.
export function transport(name, protocolName) {
  if (name === "websocket") return "WebSocket";
  const names = { sse: "SSE over ", poll: "Long polling over " };
  return (names[name] ?? "") + protocol(protocolName);
}

// Event ids are {milliseconds:013d}-{sequence:06d}: they carry their time and sort as strings.
export function idTime(id) {
  const match = /^(\d{13})-\d{6}$/.exec(id ?? "");
  return match ? Number(match[1]) : null;
}

export const idAt = (ms) => `${String(Math.max(0, Math.floor(ms))).padStart(13, "0")}-000000`;
