use std::sync::Arc;

use att_core::ops::{Choice, TokenLogProb, best_tokens, log_sum_exp, map_rows, top_log_probs};
use att_core::{host_vec, special::EOS};
use burn::tensor::Tensor;

use super::SamplingConfig;
use super::repetition::repeated;

/// A token that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Continuation {
    pub token: u32,
    /// What the model says.
    pub log_prob: f32,
    /// With the repetition penalty: what search adds up.
    pub adjusted: f32,
}

/// How a row may go on, beside what the model says.
pub(super) struct Rule<'a> {
    /// Which tokens may come next.
    pub choice: Choice<'static>,
    /// What changes the row's scores or asks for more than the best of them; none where nothing does.
    pub special: Option<SpecialRule<'a>>,
}

/// What takes more than one look at a row's scores; by default it asks for nothing.
#[derive(Default)]
pub(super) struct SpecialRule<'a> {
    /// Tokens that may not come next, beside those of the choice.
    pub banned: Vec<u32>,
    /// All tokens that there are for this source, rising.
    pub allowed: Option<&'a [u32]>,
    /// Tokens whose scores the repetition penalty changes.
    pub repeated: Vec<u32>,
    /// Its theta.
    pub theta: f64,
    /// Tokens that are found whatever their probability, also where they are banned.
    pub wanted: Vec<u32>,
    /// Where one token is drawn: how, and the number in `[0, 1)` that decides.
    pub draw: Option<(&'a SamplingConfig, f64)>,
}

/// Of each row the `k` best tokens that may come next, best first, and those that are wanted.
///
/// - `logits`: `[rows, n_tokens]`
/// - `ids`: of each source the token of each column, as in [`Scored`](super::Scored)
pub(super) fn continuations(
    logits: Tensor<2>,
    ids: Option<&[Arc<[u32]>]>,
    k: usize,
    rules: &[Rule],
) -> Vec<Vec<Continuation>> {
    if ids.is_none() && rules.iter().all(|rule| rule.special.is_none()) {
        let choices: Vec<Choice> = rules.iter().map(|rule| rule.choice).collect();
        let best = top_log_probs(logits, k, &choices).into_iter();
        return best
            .map(|found| found.into_iter().map(Continuation::from).collect())
            .collect();
    }
    let [rows, width] = logits.dims();
    assert_eq!(rules.len(), rows, "one rule a row");
    let none = SpecialRule::default();
    map_rows(&mut host_vec(logits), width, |row, logits| {
        let Rule { choice, special } = &rules[row];
        let special = special.as_ref().unwrap_or(&none);
        let ids = ids.map(|lists| &*lists[row * lists.len() / rows]);
        let logits = match ids {
            Some(ids) => &mut logits[..ids.len()],
            None => logits,
        };
        let row = Row { logits, ids };
        let Some(allowed) = special.allowed.filter(|allowed| ids != Some(*allowed)) else {
            return row.continuations(k, *choice, special);
        };
        // A vocabulary of the source's own: probabilities are those in it, so that it does not matter
        // what else the model has scores of.
        let column = |&id: &u32| Some((id, row.logits[row.column(id)?]));
        let (ids, mut logits): (Vec<u32>, Vec<f32>) = allowed.iter().filter_map(column).unzip();
        let row = Row {
            logits: &mut logits,
            ids: Some(&ids),
        };
        row.continuations(k, *choice, special)
    })
}

impl From<TokenLogProb> for Continuation {
    fn from(TokenLogProb { token, log_prob }: TokenLogProb) -> Self {
        Self {
            token,
            log_prob,
            adjusted: log_prob,
        }
    }
}

/// The scores of a row, and the tokens that they belong to.
struct Row<'a> {
    logits: &'a mut [f32],
    ids: Option<&'a [u32]>,
}

impl Row<'_> {
    fn column(&self, id: u32) -> Option<usize> {
        match self.ids {
            None => Some(id as usize).filter(|&column| column < self.logits.len()),
            Some(ids) => ids.binary_search(&id).ok(),
        }
    }

    fn token(&self, column: usize) -> u32 {
        self.ids.map_or(column as u32, |ids| ids[column])
    }

    fn columns(&self, ids: &[u32]) -> Vec<u32> {
        let columns = ids.iter().filter_map(|&id| self.column(id));
        columns.map(|column| column as u32).collect()
    }

    fn continuations(self, k: usize, choice: Choice, rule: &SpecialRule) -> Vec<Continuation> {
        let log_sum = log_sum_exp(self.logits);
        // What the model says of tokens whose scores are changed.
        let mut original: Vec<(usize, f32)> = Vec::new();
        for &id in &rule.repeated {
            if let Some(column) = self.column(id) {
                original.push((column, self.logits[column]));
                self.logits[column] = repeated(self.logits[column], rule.theta);
            }
        }
        let adjusted_sum = if original.is_empty() {
            log_sum
        } else {
            log_sum_exp(self.logits)
        };
        let logits = &*self.logits;
        let of_column = |column: usize| {
            let changed = original.iter().find(|(other, _)| *other == column);
            let logit = changed.map_or(logits[column], |&(_, logit)| logit);
            Continuation {
                token: self.token(column),
                log_prob: logit - log_sum,
                adjusted: logits[column] - adjusted_sum,
            }
        };
        let of_token = |token: u32| match self.column(token) {
            Some(column) => of_column(column),
            // What the model has no score of is impossible.
            None => Continuation {
                token,
                log_prob: f32::NEG_INFINITY,
                adjusted: f32::NEG_INFINITY,
            },
        };
        let except = match choice {
            Choice::Only(token) => return vec![of_token(token)],
            Choice::Except(tokens) => tokens,
        };
        let banned = [self.columns(except), self.columns(&rule.banned)].concat();
        let mut found: Vec<Continuation> = match rule.draw {
            Some((sampling, uniform)) => {
                let drawn = sampling.draw(logits, &banned, uniform);
                drawn.into_iter().map(of_column).collect()
            }
            None => {
                let best = best_tokens(logits, k, Choice::Except(&banned));
                let columns = best.into_iter().map(|found| found.token as usize);
                columns.map(of_column).collect()
            }
        };
        for &token in &rule.wanted {
            if found.iter().all(|other| other.token != token) {
                found.push(of_token(token));
            }
        }
        // Where nothing may come next, the hypothesis has to end.
        if found.is_empty() {
            found.push(of_token(EOS));
        }
        found
    }
}
