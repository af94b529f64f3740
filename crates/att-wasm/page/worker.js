// Where the models compute, so that the page stays awake. Answers one question at a time:
//
//   { model: { name, file }, request }  ->  { answer }   text, as POST /v1/explain answers, or a failure
//                                       ->  { crash }    why there is none; no other answer will come
//
// A model's file is the name of a packed one in the site, a packed one that the visitor has, or the list of those in
// a model directory. The module and the models are fetched when they are first needed.

import { unpack } from "./pack.js";
import { Wasi } from "./wasi.js";

const wasi = new Wasi();
const loaded = new Set();
let module = null;

/** The bytes of a file of the site, or a newer version of them. */
async function fetched(name) {
  const answer = await fetch(name, { cache: "no-cache" });
  if (!answer.ok) throw new Error(`${name} is not there (status ${answer.status}): export the site again`);
  return answer;
}

async function start() {
  const answer = await fetched("att_wasm.wasm");
  // Some hosts do not know the type, without which it can't be compiled as it comes.
  const streams = answer.headers.get("Content-Type") === "application/wasm";
  const compiled = streams ? await WebAssembly.compileStreaming(answer) : await WebAssembly.compile(await answer.arrayBuffer());
  const instance = await WebAssembly.instantiate(compiled, { wasi_snapshot_preview1: wasi.imports });
  wasi.memory = instance.exports.memory;
  instance.exports._initialize?.();
  return instance.exports;
}

/** Calls a function of the module (crates/att-wasm/src/abi.rs) with a text. */
function call(name, text) {
  const bytes = new TextEncoder().encode(text);
  const request = module.att_buffer_new(bytes.length);
  new Uint8Array(wasi.memory.buffer, module.att_buffer_data(request), bytes.length).set(bytes);
  const answer = module[name](request);
  const found = wasi.text(module.att_buffer_data(answer), module.att_buffer_len(answer));
  module.att_buffer_free(answer);
  return found;
}

/** The parts of a model, as `[[name, bytes]]`. */
async function partsOf(file) {
  const bytesOf = async (from) => new Uint8Array(await from.arrayBuffer());
  if (Array.isArray(file)) return Promise.all(file.map(async (one) => [one.name, await bytesOf(one)]));
  if (file instanceof File) return unpack(await bytesOf(file), file.name);
  return unpack(await bytesOf(await fetched(file)), file);
}

/** Loads a model unless it is; returns the failure if that can't be. */
async function load({ name, file }) {
  if (loaded.has(name)) return null;
  for (const [part, content] of await partsOf(file)) wasi.files.set(`${name}/${part}`, content);
  const answer = call("att_load", JSON.stringify({ name, path: `/${name}` }));
  wasi.files.clear();
  if (JSON.parse(answer).error !== undefined) return answer;
  loaded.add(name);
  return null;
}

async function respond({ model, request }) {
  module ??= await start();
  return await load(model) ?? call("att_explain", JSON.stringify(request));
}

addEventListener("message", async ({ data }) => {
  wasi.complaint = "";
  try {
    postMessage({ answer: await respond(data) });
  } catch (error) {
    postMessage({ crash: wasi.complaint.trim() || error.message });
  }
});
