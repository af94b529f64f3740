import { readAddress, writeAddress } from "./address.js";
import { backend } from "./backend.js";
import { debounced, el } from "./dom.js";
import { Pane } from "./pane.js";

const $ = (id) => document.getElementById(id);
const THEME = "att-studio-theme";
const PATIENCE = 200;

let models = [];
let panes = [];

/** Says what goes wrong with the page as a whole; null takes it back. */
function trouble(error) {
  const asks = error?.code === "unauthorized";
  $("trouble").hidden = error === null || asks;
  $("trouble").textContent = asks ? "" : error?.message ?? "";
  $("token").hidden = !asks;
  if (asks) $("token-text").focus();
}

/* What is asked. */

/** The settings that differ from the model's own. */
function search() {
  const settings = {};
  for (const key of ["beam_size", "n_best", "coverage_penalty"]) {
    if ($(key).value !== "" && $(key).checkValidity()) settings[key] = Number($(key).value);
  }
  const kind = $("length_kind").value;
  const alpha = $("length_alpha").value === "" ? 1 : Number($("length_alpha").value);
  $("length_alpha").disabled = !["gnmt", "power"].includes(kind);
  if (kind === "none") settings.length_penalty = { kind };
  else if (kind !== "") settings.length_penalty = { kind, alpha };
  return settings;
}

function setSearch(settings) {
  for (const key of ["beam_size", "n_best", "coverage_penalty"]) $(key).value = settings[key] ?? "";
  $("length_kind").value = settings.length_penalty?.kind ?? "";
  $("length_alpha").value = settings.length_penalty?.alpha ?? "";
}

function show() {
  const text = $("text").value;
  const settings = search();
  writeAddress({ text, model: $("model").value, beside: $("beside").value, search: settings });
  const blank = text.trim() === "";
  $("empty").hidden = !blank;
  $("examples").hidden = !blank;
  $("panes").hidden = blank;
  if (blank) {
    panes.forEach((pane) => pane.stop());
    return;
  }
  panes.forEach((pane) => pane.show({ text, search: settings }));
}

const showSoon = debounced(PATIENCE, show);

/** A pane for each model that is chosen. */
function choose() {
  const chosen = [$("model").value, $("beside").value].filter(Boolean);
  panes.forEach((pane) => pane.stop());
  panes = chosen.map((name, place) => panes[place]?.model === name ? panes[place] : new Pane(name, backend, trouble));
  $("panes").replaceChildren(...panes.map((pane) => pane.element));
  $("panes").classList.toggle("two", panes.length > 1);
  show();
}

/* Colours: the system's, light or dark. */

const themes = ["system", "light", "dark"];

function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  $("theme").textContent = { system: "◐", light: "☀", dark: "☾" }[theme];
  $("theme").title = `Colours: ${theme}`;
  $("theme").setAttribute("aria-label", `Colours: ${theme}`);
  try {
    localStorage.setItem(THEME, theme);
  } catch {
    // Without storage it is forgotten, and that is all.
  }
}

function storedTheme() {
  try {
    const theme = localStorage.getItem(THEME);
    return themes.includes(theme) ? theme : "system";
  } catch {
    return "system";
  }
}

setTheme(storedTheme());
$("theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme ?? "system";
  setTheme(themes[(themes.indexOf(theme) + 1) % themes.length]);
});

/* The start. */

function fromAddress() {
  const address = readAddress();
  const known = (name) => models.some((model) => model.name === name);
  $("text").value = address.text;
  $("model").value = known(address.model) ? address.model : models[0].name;
  $("beside").value = known(address.beside) ? address.beside : "";
  setSearch(address.search);
  choose();
}

async function start() {
  try {
    models = await backend.models();
  } catch (error) {
    trouble(error);
    return;
  }
  trouble(null);
  const option = ({ name }) => el("option", { value: name }, name);
  $("model").replaceChildren(...models.map(option));
  $("beside").replaceChildren(el("option", { value: "" }, "none"), ...models.map(option));
  fromAddress();
}

$("text").addEventListener("input", showSoon);
$("search").addEventListener("input", showSoon);
$("search").addEventListener("submit", (event) => event.preventDefault());
$("search").addEventListener("reset", () => setTimeout(show));
$("model").addEventListener("change", choose);
$("beside").addEventListener("change", choose);
$("examples").addEventListener("click", (event) => {
  const example = event.target.closest("button");
  if (!example) return;
  $("text").value = example.textContent;
  $("text").focus();
  show();
});
$("token").addEventListener("submit", (event) => {
  event.preventDefault();
  backend.token = $("token-text").value.trim();
  $("token-text").value = "";
  start();
});
addEventListener("hashchange", () => models.length && fromAddress());
// Whoever answers has others now.
backend.onmodels = start;
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") $("settings").open = false;
});
document.addEventListener("pointerdown", (event) => {
  if (!$("settings").contains(event.target)) $("settings").open = false;
});
start();
