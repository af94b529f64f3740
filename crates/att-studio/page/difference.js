import { el, shown } from "./dom.js";

/**
 * What has to be done to `before` to have `after`: a list of `{ kind, token }`, kind being "same", "gone" or
 * "new", with a longest common subsequence kept.
 */
export function difference(before, after) {
  const [n, m] = [before.length, after.length];
  const common = Array.from({ length: n + 1 }, () => new Uint32Array(m + 1));
  for (let i = n - 1; i >= 0; i--) {
    for (let j = m - 1; j >= 0; j--) {
      common[i][j] = before[i] === after[j]
        ? common[i + 1][j + 1] + 1
        : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const steps = [];
  let [i, j] = [0, 0];
  while (i < n || j < m) {
    if (i < n && j < m && before[i] === after[j]) {
      steps.push({ kind: "same", token: before[i++] });
      j++;
    } else if (i < n && (j === m || common[i + 1][j] >= common[i][j + 1])) {
      steps.push({ kind: "gone", token: before[i++] });
    } else {
      steps.push({ kind: "new", token: after[j++] });
    }
  }
  return steps;
}

/** The same to look at and to hear. */
export function drawDifference(before, after) {
  const names = { same: "span", gone: "del", new: "ins" };
  const token = (step) => el(names[step.kind], { class: "token" }, shown(step.token));
  return difference(before, after).map(token);
}
