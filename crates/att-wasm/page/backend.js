// Who answers on a page without a server: models in the browser. The same interface as the backend.js of
// `att serve`, whose place this file takes.

/** Why there is no answer, in words for people; `code` as the server has it, or "crash". */
export class Failure extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

/** Models that a worker computes. */
class WasmBackend {
  constructor() {
    /** The site's models, and before them those that were opened. */
    this.known = [];
    this.opened = [];
    this.onmodels = () => {};
    this.worker = null;
    this.waiting = [];
    this.running = null;
  }

  async models(signal) {
    const answer = await fetch("models.json", { signal, cache: "no-cache" }).catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new Failure("The site's models.json can't be fetched. A page that is opened as a file can fetch nothing: serve the folder.", "network");
    });
    if (!answer.ok) throw new Failure(`The site's models.json is not there (status ${answer.status}): export it again.`, "network");
    this.known = [...this.opened, ...(await answer.json()).models];
    return this.known;
  }

  /** Takes a model of the visitor's: `file` as the worker takes it. It has the first free of the names `name`, `name-2` and so on. */
  async open(name, file) {
    const taken = (name) => this.known.some((model) => model.name === name);
    let free = name;
    for (let i = 2; taken(free); i++) free = `${name}-${i}`;
    this.opened.unshift({ name: free, file });
    await this.onmodels();
    return free;
  }

  /** Questions are answered one after the other, without those that were called off while they waited. */
  explain(request, signal) {
    return new Promise((resolve, reject) => {
      const abort = () => reject(signal.reason);
      if (signal?.aborted) return abort();
      signal?.addEventListener("abort", abort, { once: true });
      this.waiting.push({ request, signal, resolve, reject });
      this.next();
    });
  }

  next() {
    if (this.running) return;
    this.waiting = this.waiting.filter(({ signal }) => !signal?.aborted);
    this.running = this.waiting.shift() ?? null;
    if (!this.running) return;
    this.worker ??= this.start();
    const { request } = this.running;
    const model = this.known.find(({ name }) => name === request.model) ?? this.known[0];
    this.worker.postMessage({ model: { name: model.name, file: model.file }, request });
  }

  start() {
    const worker = new Worker("worker.js", { type: "module" });
    worker.addEventListener("message", ({ data }) => this.ended(data));
    worker.addEventListener("error", ({ message }) => this.ended({ crash: message || "the worker can't be started" }));
    return worker;
  }

  ended({ answer, crash }) {
    const { resolve, reject } = this.running;
    this.running = null;
    if (crash !== undefined) {
      // What has crashed is in no state to go on; the next question starts anew.
      this.worker.terminate();
      this.worker = null;
      reject(new Failure(`There is no answer: ${crash}`, "crash"));
    } else {
      const body = JSON.parse(answer);
      if (body.error === undefined) resolve(body);
      else reject(new Failure(body.error, body.code));
    }
    this.next();
  }
}

export const backend = new WasmBackend();
