//! What a model says of its target when tokens of the source are erased.

use std::collections::HashMap;

use att_core::special::UNK;
use att_data::{Batch, Example};
use att_model::{Seq2Seq, force};

/// Source and target ids of a batch at most: activations of a forward pass stay below some 100 MB.
const MAX_IDS: usize = 1 << 14;

/// The probabilities of one target given its source with some tokens erased. What is erased is UNK at the
/// input, so that the length and all positions stay; EOS is never erased. Each source is looked at once,
/// whoever asks for it, and many at a time.
pub struct Erasures<'a> {
    model: &'a Seq2Seq,
    example: &'a Example,
    /// For each set of erased tokens (true where erased) the log-probability of each target token.
    known: HashMap<Vec<bool>, Vec<f32>>,
}

impl<'a> Erasures<'a> {
    /// Of a source and its target, nothing looked at yet.
    pub fn new(model: &'a Seq2Seq, example: &'a Example) -> Self {
        Self {
            model,
            example,
            known: HashMap::new(),
        }
    }

    /// Looks at these sources, those that it does not know yet.
    ///
    /// - `erased`: of each, true where a token is erased
    pub fn look_at(&mut self, erased: impl IntoIterator<Item = Vec<bool>>) {
        let mut new: Vec<Vec<bool>> = Vec::new();
        for erased in erased {
            if !self.known.contains_key(&erased) {
                self.known.insert(erased.clone(), Vec::new());
                new.push(erased);
            }
        }
        let width = self.example.src.len().max(self.example.tgt.len()) + 1; // with EOS
        for some in new.chunks((MAX_IDS / width).max(1)) {
            let mut examples: Vec<Example> =
                some.iter().map(|erased| self.without(erased)).collect();
            if self.example.copy_ids.is_some() {
                // Last, so that all that the target copies has an id in the batch.
                examples.push(self.example.clone());
            }
            let rows: Vec<usize> = (0..examples.len()).collect();
            let forced = force(self.model, &Batch::new(&examples, &rows), false);
            for (erased, forced) in some.iter().zip(forced) {
                self.known.insert(erased.clone(), forced.token_log_probs);
            }
        }
    }

    /// The log-probability of each target token, EOS the last, given a source that was looked at.
    ///
    /// # Panics
    ///
    /// If it was not.
    pub fn log_probs(&self, erased: &[bool]) -> &[f32] {
        &self.known[erased]
    }

    /// The probability of step `t`'s token given a source that was looked at.
    pub(crate) fn probability(&self, erased: &[bool], t: usize) -> f64 {
        f64::from(self.log_probs(erased)[t]).exp()
    }

    fn without(&self, erased: &[bool]) -> Example {
        let mut example = self.example.clone();
        let ids = example.src.iter_mut().zip(erased);
        ids.filter(|(_, erased)| **erased)
            .for_each(|(id, _)| *id = UNK);
        for (id, erased) in example.copy_ids.iter_mut().flatten().zip(erased) {
            if *erased {
                *id = UNK;
            }
        }
        example
    }
}

/// True at these places of so many.
///
/// # Panics
///
/// If there is no such place.
pub fn mask(places: &[usize], n: usize) -> Vec<bool> {
    let mut mask = vec![false; n];
    for &place in places {
        mask[place] = true;
    }
    mask
}
