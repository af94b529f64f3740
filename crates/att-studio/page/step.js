import { debounced, el, number, percent, shown } from "./dom.js";

/**
 * One step of an output: what it looked at, what else might have come, and what can be changed.
 *
 * - `t`, `s`: the step, and a source token or null
 * - `src`, `tgt`, `row`: tokens, and the step's weights; none without attention
 * - `logProb`, `entropy`: of the step
 * - `alternatives`: `[{ token, log_prob }]`
 * - `edited`: whether the row has been changed
 * - `onpin(tokens)`: the output shall begin with these
 * - `onedit(t, row)`: the step shall look at this; null: as the model has it
 * - `onclose()`
 */
export function stepPanel({ t, s, src, tgt, row, logProb, entropy, alternatives, edited, onpin, onedit, onclose }) {
  const before = tgt.slice(0, t);
  const facts = [`probability ${percent(logProb)}`];
  if (entropy !== undefined) facts.push(`entropy ${number(entropy, 2)} nats`);
  if (edited) facts.push("changed by you");

  const most = Math.max(...alternatives.map((one) => Math.exp(one.log_prob)), 1e-9);
  const alternative = ({ token, log_prob: logProb }) => {
    const own = token === tgt[t];
    const bar = el("span", { class: "bar" });
    bar.style.setProperty("--part", (Math.exp(logProb) / most).toFixed(4));
    const isEnd = token === "</s>";
    const label = own ? `${shown(token)}, ${percent(logProb)}, as it came`
      : `${shown(token)}, ${percent(logProb)}: say this instead`;
    return el("li", {}, el("button", {
      type: "button", "aria-label": label, disabled: isEnd, class: own ? "own" : false,
      title: isEnd ? "The end can't be pinned" : "Say this here, and go on",
      onclick: () => onpin([...before, token]),
    }, el("span", { class: "token", dir: "auto" }, shown(token)), bar, el("span", { class: "value" }, percent(logProb))));
  };

  const isEnd = t === tgt.length - 1;
  return el("section", { class: "step", "aria-label": `Step ${t + 1}: ${shown(tgt[t])}` },
    el("header", {},
      el("h3", {}, `Step ${t + 1}: `, el("span", { class: "token", dir: "auto" }, shown(tgt[t]))),
      el("button", { type: "button", class: "close", "aria-label": "Close the step", onclick: onclose }, "×")),
    el("p", { class: "facts" }, facts.join(" · ")),
    row && s !== null && cell(tgt[t], src[s], row[s]),
    row && editor({ t, s, src, row, edited, onedit }),
    alternatives.length > 0 && el("h4", {}, "What might have come here"),
    alternatives.length > 0 && el("ol", { class: "alternatives" }, alternatives.map(alternative)),
    !isEnd && el("button", {
      type: "button", class: "pin", onclick: () => onpin([...before, tgt[t]]),
    }, `Pin the output up to ${shown(tgt[t])}`));
}

/** The numbers of a cell. */
function cell(target, source, weight) {
  return el("p", { class: "cell" },
    el("span", { class: "token", dir: "auto" }, shown(target)), " looks at ",
    el("span", { class: "token", dir: "auto" }, shown(source)), " with weight ",
    el("strong", {}, number(weight, 4)),
    // The score of a softmax, but for what all scores of the row have in common.
    el("small", {}, ` (ln ${number(Math.log(weight), 2)})`));
}

/** What a step looks at, to be changed. */
function editor({ t, s, src, row, edited, onedit }) {
  const alone = (place) => row.map((_, other) => (other === place ? 1 : 0));
  const even = () => row.map(() => 1 / row.length);
  const button = (text, change) => el("button", { type: "button", onclick: () => onedit(t, change()) }, text);
  const parts = [];
  if (s !== null) {
    const name = shown(src[s]);
    const slider = el("input", {
      type: "range", min: 0, max: 100, step: 1, value: Math.round(100 * row[s]), "aria-label": `Weight of ${name} in hundredths`,
    });
    const value = el("output", {}, number(row[s], 2));
    const later = debounced(150, () => onedit(t, withWeight(row, s, Number(slider.value) / 100)));
    slider.addEventListener("input", () => {
      value.textContent = number(Number(slider.value) / 100, 2);
      later();
    });
    parts.push(el("label", { class: "slide" }, el("span", {}, "Weight of ", el("span", { class: "token" }, name)), slider, value));
    parts.push(button(`All on ${name}`, () => alone(s)));
    // Nothing can be spread over nothing.
    if (row.length > 1) parts.push(button(`None on ${name}`, () => withWeight(row, s, 0)));
  }
  parts.push(button("Even", even));
  parts.push(el("button", {
    type: "button", class: "own", disabled: !edited, onclick: () => onedit(t, null),
  }, "As the model has it"));
  return el("fieldset", { class: "editor" }, el("legend", {}, "Change where it looks"), parts);
}

/** The row with another weight at a place; the others share the rest as they did. */
export function withWeight(row, place, weight) {
  const others = row.reduce((sum, value, s) => (s === place ? sum : sum + value), 0);
  return row.map((value, s) => {
    if (s === place) return weight;
    return others > 1e-6 ? (value / others) * (1 - weight) : (1 - weight) / (row.length - 1);
  });
}
