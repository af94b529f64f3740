// Lets a visitor open a model of their own: a packed one, or a model directory. Nothing is sent anywhere.

import { backend } from "./backend.js";
import { el } from "./dom.js";

/** What a model directory is made of; a run's has more, and larger, files. */
const PARTS = ["config.toml", "src.tokenizer.json", "tgt.tokenizer.json", "model.safetensors"];

async function open(name, file) {
  const model = document.getElementById("model");
  const known = await backend.open(name, file);
  model.value = known;
  model.dispatchEvent(new Event("change"));
}

/** A button that asks for files; `take` is given them. */
function opener(label, attributes, take) {
  const input = el("input", { type: "file", hidden: true, "aria-hidden": "true", ...attributes });
  input.addEventListener("change", () => {
    if (input.files.length) take([...input.files]);
    input.value = "";
  });
  return [input, el("button", { type: "button", onclick: () => input.click() }, label)];
}

document.querySelector(".controls").prepend(
  ...opener("Open a packed model", { accept: ".att" }, ([file]) => open(file.name.replace(/\.att$/, ""), file)),
  ...opener("Open a model directory", { webkitdirectory: true }, (files) => {
    const [folder] = files[0].webkitRelativePath.split("/");
    const isPart = ({ webkitRelativePath }) => PARTS.some((part) => webkitRelativePath === `${folder}/${part}`);
    open(folder, files.filter(isPart));
  }));
