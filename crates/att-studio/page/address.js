// What is asked, in the address behind `#`: a link to the page shows the same.

const NUMBERS = ["beam_size", "n_best", "coverage_penalty"];

/** `{ text, model, beside, search }` of the address. */
export function readAddress() {
  const address = new URLSearchParams(location.hash.slice(1));
  const search = {};
  for (const key of NUMBERS) {
    const value = Number(address.get(key));
    if (address.has(key) && Number.isFinite(value)) search[key] = value;
  }
  const [kind, alpha] = (address.get("length_penalty") ?? "").split(":");
  if (kind === "none") search.length_penalty = { kind };
  else if (["gnmt", "power"].includes(kind) && Number.isFinite(Number(alpha))) {
    search.length_penalty = { kind, alpha: Number(alpha) };
  }
  return {
    text: address.get("text") ?? "",
    model: address.get("model") ?? "",
    beside: address.get("beside") ?? "",
    search,
  };
}

export function writeAddress({ text, model, beside, search }) {
  const address = new URLSearchParams();
  for (const [key, value] of Object.entries({ text, model, beside })) if (value) address.set(key, value);
  for (const key of NUMBERS) if (search[key] !== undefined) address.set(key, search[key]);
  const penalty = search.length_penalty;
  if (penalty) address.set("length_penalty", penalty.kind === "none" ? "none" : `${penalty.kind}:${penalty.alpha}`);
  history.replaceState(null, "", `#${address}`);
}
