use att_core::special::{BOS, EOS, PAD};
use att_core::{Error, Result};

use super::{SearchConfig, StrategyConfig};

/// One source, and what is asked of its target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Tokens of the source, EOS included: lengths of targets are bounded by it.
    pub src_len: usize,
    /// States of the memory that are the source's, padding left out; fewer than tokens where the encoder
    /// joins some.
    pub n_states: usize,
    /// The source's part in the seed of its samples.
    pub seed: u64,
    /// What the target begins with.
    pub prefix: Vec<u32>,
    /// Whether the prefix is the whole target (forced decoding): EOS follows.
    pub complete: bool,
    /// Phrases that must stand in the target, each for itself: they do not overlap.
    pub constraints: Vec<Vec<u32>>,
    /// The target tokens that this source may have (a shortlist; Jean et al. 2015, sec. 3.3; L'Hostis et
    /// al. 2016), in any order: probabilities are those among them. EOS, the prefix and the constraints
    /// are among them unasked. None: all tokens.
    pub allowed: Option<Vec<u32>>,
    /// Whether the search tree is recorded.
    pub record: bool,
}

impl Request {
    /// A search for any target. The seed is a hash of the source's tokens: a source has the same samples
    /// wherever it stands.
    pub fn new(src: &[u32]) -> Self {
        Self {
            src_len: src.len(),
            n_states: src.len(),
            seed: hash(src),
            ..Self::default()
        }
    }

    /// Whether all targets may be found.
    pub(super) fn is_free(&self) -> bool {
        self.constraints.is_empty() && self.allowed.is_none()
    }

    /// All tokens that the target may have, those that are among them unasked included, rising; none where
    /// these are the whole vocabulary.
    pub fn vocabulary(&self) -> Option<Vec<u32>> {
        let asked = self.constraints.iter().flatten().chain(&self.prefix);
        let mut all: Vec<u32> = self
            .allowed
            .as_ref()?
            .iter()
            .chain(asked)
            .copied()
            .collect();
        all.push(EOS);
        all.sort_unstable();
        all.dedup();
        Some(all)
    }

    /// Tokens of all constraints.
    pub(super) fn constraint_len(&self) -> usize {
        self.constraints.iter().map(Vec::len).sum()
    }

    /// # Errors
    ///
    /// If what is asked for can't be, or not with this search.
    pub fn validate(&self, config: &SearchConfig) -> Result<()> {
        let special = |tokens: &[u32]| tokens.iter().any(|id| [PAD, BOS, EOS].contains(id));
        if special(&self.prefix) {
            let reason = "PAD, BOS and EOS can't stand in a prefix";
            return Err(Error::config("prefix", reason));
        }
        if self.constraints.is_empty() {
            return Ok(());
        }
        let refused = |reason| Err(Error::config("constraints", reason));
        if self.constraints.iter().any(Vec::is_empty) {
            return refused("a phrase has no token");
        }
        if self.constraints.iter().any(|phrase| special(phrase)) {
            return refused("PAD, BOS and EOS can't stand in a phrase");
        }
        if self.complete {
            return refused("the target is given: leave out one of the two");
        }
        if matches!(config.strategy, StrategyConfig::Sampling(_)) {
            return refused("phrases can't be sampled: use a beam, or leave them out");
        }
        Ok(())
    }
}

/// FNV-1a over the bytes of the tokens (Fowler, Noll and Vo).
fn hash(tokens: &[u32]) -> u64 {
    let bytes = tokens.iter().flat_map(|token| token.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
