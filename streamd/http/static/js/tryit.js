// Commands for this host, ready to copy, and a field that publishes.

const COPIED_MS = 1500;

export class TryIt {
  #commands = document.getElementById("commands");
  #topicName = document.getElementById("publish-topic");
  #field = document.getElementById("publish-data");
  #outcome = document.getElementById("publish-outcome");
  #topic = "logs";

  constructor() {
    document.getElementById("publish").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#publish(this.#field.value);
    });
  }

  // Use the topic that the log follows, so that published events appear there.
  show(topic) {
    this.#topic = topic;
    this.#topicName.textContent = topic;
    this.#commands.replaceChildren(...commands(topic).map(([title, command]) => commandItem(title, command)));
  }

  async #publish(data) {
    if (!data) return;
    try {
      const response = await fetch(new URL("events", document.baseURI), {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ topic: this.#topic, data }),
      });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.detail ?? `the server answered ${response.status}`);
      this.#field.value = "";
      this.#say("", `Published as ${answer.id}`);
    } catch (error) {
      this.#say("failed", error instanceof TypeError ? "Not published: the server cannot be reached" : `Not published: ${error.message}`);
    }
  }

  #say(kind, text) {
    this.#outcome.dataset.kind = kind;
    this.#outcome.textContent = text;
  }
}

function commands(topic) {
  const base = document.baseURI.replace(/[?#].*$/, "").replace(/\/$/, "");
  const query = encodeURIComponent(topic).replaceAll("%2F", "/").replaceAll("%3A", ":");
  const body = JSON.stringify({ topic, data: "hello" });
  return [
    ["Follow with curl", `curl -N ${quote(`${base}/events?topic=${query}`)}`],
    ["Publish with curl", `curl ${quote(`${base}/events`)} -H 'Content-Type: application/json' -d ${quote(body)}`],
    ["Follow with streamd", `streamd subscribe --url ${quote(base)} --topic ${quote(topic)}`],
    ["Publish a program's lines", `while date; do sleep 1; done | streamd publish --url ${quote(base)} --topic ${quote(topic)}`],
  ];
}

// Quote for a POSIX shell, unless no character needs it.
function quote(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function commandItem(title, command) {
  const item = document.createElement("li");
  const name = item.appendChild(document.createElement("span"));
  name.className = "title";
  name.textContent = title;
  const code = item.appendChild(document.createElement("code"));
  code.textContent = command;
  const button = item.appendChild(document.createElement("button"));
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy: ${title}`);
  button.addEventListener("click", async () => {
    button.textContent = (await copy(command, code)) ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, COPIED_MS);
  });
  return item;
}

// Copy, or select the command for Ctrl+C: the clipboard API exists on HTTPS and localhost only.
async function copy(text, element) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return false;
  }
}
