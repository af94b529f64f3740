import { el, number, percent } from "./dom.js";

/** What a score is made of, in the order in which it is added up. */
const TERMS = [
  ["log_prob", "log-prob"],
  ["repetition", "repetition"],
  ["length", "length"],
  ["coverage", "coverage"],
];

/** The n-best list with each score taken apart; `choose(rank)` is called for what is clicked. */
export function hypothesisList(hypotheses, chosen, choose) {
  const said = ([key]) => key === "log_prob" || hypotheses.some((one) => Math.abs(one[key]) > 1e-9);
  const terms = TERMS.filter(said);
  const head = (text, title) => el("th", { scope: "col", title }, text);
  const row = (one, rank) => el("tr", { class: rank === chosen ? "chosen" : false },
    el("td", {}, String(rank + 1)),
    el("th", { scope: "row" }, el("button", {
      type: "button", dir: "auto", "aria-pressed": rank === chosen ? "true" : "false", onclick: () => choose(rank),
    }, one.text || "(nothing)")),
    el("td", {}, el("strong", {}, number(one.score))),
    terms.map(([key]) => el("td", {}, (key === "log_prob" || one[key] < 0 ? "" : "+") + number(one[key]))),
    el("td", {}, percent(one.log_prob)));
  const sum = terms.map(([, name]) => name).join(" + ");
  return el("div", {},
    el("div", { class: "scroll" }, el("table", { class: "list" },
      el("thead", {}, el("tr", {},
        head("#"), head("Output"), head("score", "What hypotheses are ranked by"),
        terms.map(([, name]) => head(name)), head("p", "Its probability"))),
      el("tbody", {}, hypotheses.map(row)))),
    el("p", { class: "hint" }, `score = ${sum}`));
}
