// The form that exchanges a token for the cookie of this page, on a server with keys; and signing out.

const SIGNED_IN = "streamd-signed-in"; // scripts cannot see the cookie itself

export class SignIn {
  #section = document.getElementById("signin");
  #field = document.getElementById("token");
  #outcome = document.getElementById("signin-outcome");
  #signOut = document.getElementById("sign-out");
  #changed;

  // changed(): called when the page has signed in or out.
  constructor(changed) {
    this.#changed = changed;
    document.getElementById("signin-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#signIn(this.#field.value.trim());
    });
    this.#signOut.addEventListener("click", () => this.#leave());
    this.#signOut.hidden = !localStorage.getItem(SIGNED_IN);
  }

  // Show the form while the server wants a token and has none.
  show(isWanted) {
    if (isWanted && this.#section.hidden) this.#field.value = "";
    this.#section.hidden = !isWanted;
  }

  async #signIn(token) {
    if (!token) return;
    const failure = await ask("POST", { Authorization: `Bearer ${token}` });
    this.#outcome.dataset.kind = failure ? "failed" : "";
    this.#outcome.textContent = failure;
    if (failure) return;
    this.#field.value = "";
    localStorage.setItem(SIGNED_IN, "1");
    this.#signOut.hidden = false;
    this.#changed();
  }

  async #leave() {
    if (await ask("DELETE", {})) return;
    localStorage.removeItem(SIGNED_IN);
    this.#signOut.hidden = true;
    this.#changed();
  }
}

// Set or delete the cookie; return the reason of a failure, or "".
async function ask(method, headers) {
  try {
    const response = await fetch(new URL("auth/cookie", document.baseURI), { method, headers });
    if (response.ok) return "";
    const problem = await response.json().catch(() => ({}));
    return problem.detail ?? `the server answered ${response.status}`;
  } catch {
    return "the server cannot be reached, or the token has characters that no token has";
  }
}
