use att_decoder::search::ScoreTerms;
use att_inspect::{Alignment, AttentionMap};
use att_model::Candidate;
use serde::Serialize;

/// A hypothesis in JSON:
///
/// ```json
/// {"text":"K AE T","score":-0.02,"log_prob":-0.02,"repetition":0.0,"length":0.0,"coverage":0.0,
///  "tgt_tokens":["K","AE","T","</s>"],"token_log_probs":[-0.01,-0.01,0.0,0.0]}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hypothesis<'a> {
    /// The output.
    pub text: &'a str,
    /// What hypotheses are ranked by.
    pub score: f64,
    /// Natural logarithm of its probability.
    pub log_prob: f64,
    /// What makes the score of the log-probability.
    #[serde(flatten)]
    pub terms: ScoreTerms,
    /// The tokens, EOS the last.
    pub tgt_tokens: &'a [String],
    /// Of each of them.
    pub token_log_probs: &'a [f32],
}

impl<'a> From<&'a Candidate> for Hypothesis<'a> {
    fn from(candidate: &'a Candidate) -> Self {
        Self {
            text: &candidate.text,
            score: candidate.score,
            log_prob: candidate.log_prob,
            terms: candidate.terms,
            tgt_tokens: &candidate.tokens,
            token_log_probs: &candidate.token_log_probs,
        }
    }
}

/// The source token that each target token of a candidate looks at most, in the Pharaoh format; none without
/// attention. EOS looks and is looked at too; these links are left out, as others have no such tokens.
pub fn alignment(src_tokens: &[String], candidate: &Candidate) -> Option<String> {
    let (weights, tgt_tokens) = (candidate.weights.as_ref()?.concat(), &candidate.tokens);
    let map = AttentionMap::new(src_tokens.to_vec(), tgt_tokens.clone(), weights).ok()?;
    Some(Alignment::of(&map).without_end(&map).to_string())
}
