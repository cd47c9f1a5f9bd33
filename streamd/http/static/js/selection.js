// The selectors that the page follows: topics and patterns from its query string or the input field.

export const FIGURES_TOPIC = "host/metrics";

const DEFAULT = { topics: ["logs"], patterns: ["files/**"] };

export function fromQuery(query) {
  const parameters = new URLSearchParams(query);
  const topics = parameters.getAll("topic").filter(Boolean);
  const patterns = parameters.getAll("pattern").filter(Boolean);
  return topics.length || patterns.length ? { topics, patterns } : DEFAULT;
}

// In the field a name with a "*" is a pattern; a topic that contains one can be given as ?topic= in the URL.
export function fromText(text) {
  const names = [...new Set(text.split(/\s+/).filter(Boolean))];
  if (!names.length) return DEFAULT;
  return { topics: names.filter((name) => !name.includes("*")), patterns: names.filter((name) => name.includes("*")) };
}

export const toText = ({ topics, patterns }) => [...topics, ...patterns].join(" ");

export function toQuery({ topics, patterns }) {
  const parameters = new URLSearchParams();
  topics.forEach((topic) => parameters.append("topic", topic));
  patterns.forEach((pattern) => parameters.append("pattern", pattern));
  // These are allowed in a query (RFC 3986 section 3.4) and easier to read unescaped.
  return parameters.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
}

export function withFigures({ topics, patterns }) {
  return { topics: [...new Set([FIGURES_TOPIC, ...topics])], patterns };
}

// Match as the server does: "*" is one segment, a last "**" the rest, "*" alone everything, all else literal.
export function selects({ topics, patterns }, topic) {
  return topics.includes(topic) || patterns.some((pattern) => patternRegExp(pattern).test(topic));
}

function patternRegExp(pattern) {
  if (pattern === "*") return /^.+$/su;
  const wildcards = { "*": "[^/:]+", "**": ".+" };
  const parts = pattern.split(/([/:])/u);
  return new RegExp(`^${parts.map((part) => wildcards[part] ?? part.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("")}$`, "su");
}
