// Who answers. The page knows two questions and no more:
//
//   models()          -> [{ name, search }]          the first is taken unless another is chosen
//   explain(request)  -> as POST /v1/explain answers
//
// Both take a signal that calls them off, and fail with a Failure. Where the models change, `onmodels` is called. A site without a server has another file in the
// place of this one (crates/att-wasm/page/backend.js).

const TOKEN = "att-studio-token";

/** Why there is no answer, in words for people; `code` is that of docs/server.md, or "network". */
export class Failure extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

/** `att serve`, one folder up from the page. */
class HttpBackend {
  constructor(base = "..") {
    this.base = base;
  }

  /** The server's token, kept until the tab is closed. */
  set token(token) {
    sessionStorage.setItem(TOKEN, token);
  }

  async models(signal) {
    return (await this.ask("/v1/models", { signal })).models;
  }

  explain(request, signal) {
    const headers = { "Content-Type": "application/json" };
    return this.ask("/v1/explain", { method: "POST", headers, body: JSON.stringify(request), signal });
  }

  async ask(path, { headers = {}, ...options }) {
    const token = sessionStorage.getItem(TOKEN);
    if (token) headers = { ...headers, Authorization: `Bearer ${token}` };
    let answer;
    try {
      answer = await fetch(this.base + path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Failure("The server does not answer. Is it still running?", "network");
    }
    const body = await answer.json().catch((error) => {
      if (error.name === "AbortError") throw error;
      return { error: `The server's answer can't be read (status ${answer.status}).`, code: "network" };
    });
    if (answer.ok && body.error === undefined) return body;
    throw new Failure(body.error, body.code);
  }
}

export const backend = new HttpBackend();
