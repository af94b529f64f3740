import { el, number } from "./dom.js";

const NAMES = [
  ["entropy", "Entropy", "nats; 0 looks at one token, more is flatter"],
  ["sharpness", "Sharpness", "mean of the greatest weight of each step"],
  ["monotonicity", "Monotone", "share of steps that do not go back"],
  ["diagonality", "Diagonal", "1 on the diagonal, about 0.67 where flat"],
  ["under_attended", "Under-attended", "share of source tokens with less than half of the mean"],
  ["over_attended", "Over-attended", "share of source tokens with more than twice the mean"],
  ["repetition", "Repeated", "attention to what was attended before"],
];

/** The numbers of a sentence; docs/inspect.md has their formulas. */
export function numberList(numbers, erasure) {
  const item = ([name, value, hint]) => el("div", {}, el("dt", {}, name), el("dd", {}, number(value, 2), el("small", {}, hint)));
  const known = NAMES.map(([key, name, hint]) => [name, numbers[key], hint]);
  const more = erasure
    ? [["Attention and erasing", erasure.rank_correlation, "Kendall's tau-b of both rows below the map; 1 where attention orders the tokens as they matter"]]
    : [];
  return el("dl", { class: "numbers" }, [...known, ...more].map(item));
}
