use std::borrow::Cow;

use att_core::random::dropout_mask;
use att_core::special::{N_SPECIAL, UNK};
use att_data::{Batch, Padded};

use crate::TrainingConfig;

/// Word dropout: in training the model reads UNK in the place of each token with a probability of its
/// side, while the gold tokens stay (Bowman et al. 2016, section 3.1, for the decoder; here of the source
/// too). Special tokens stay. So it learns not to lean on single words, and what to do at unknown ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WordDropout {
    src: f64,
    tgt: f64,
}

impl WordDropout {
    pub(crate) fn new(training: &TrainingConfig) -> Self {
        Self {
            src: training.src_word_dropout,
            tgt: training.tgt_word_dropout,
        }
    }

    /// What the model reads of a batch; the masks are from [`att_core::random`].
    pub(crate) fn apply<'a>(&self, batch: &'a Batch) -> Cow<'a, Batch> {
        if self.src == 0.0 && self.tgt == 0.0 {
            return Cow::Borrowed(batch);
        }
        let mut read = batch.clone();
        drop_words(&mut read.src, self.src);
        drop_words(&mut read.tgt, self.tgt);
        Cow::Owned(read)
    }
}

fn drop_words(padded: &mut Padded, prob: f64) {
    if prob == 0.0 {
        return;
    }
    let mask = dropout_mask(padded.ids.len(), prob);
    for (id, keep) in padded.ids.iter_mut().zip(mask) {
        if *id >= N_SPECIAL && keep == 0.0 {
            *id = UNK;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::random;
    use att_data::Example;

    #[test]
    fn words_become_unknown_at_their_sides_rate_and_special_tokens_stay() {
        let examples: Vec<Example> = (1..100)
            .map(|n| Example {
                src: vec![7; n],
                tgt: vec![8; 100 - n],
                ..Default::default()
            })
            .collect();
        let batch = Batch::new(&examples, &(0..99).collect::<Vec<_>>());
        let read = |src, tgt, seed| {
            random::seed(seed);
            WordDropout { src, tgt }.apply(&batch).into_owned()
        };
        assert_eq!(read(0.0, 0.0, 1), batch);
        let dropped = read(0.3, 0.1, 1);
        assert_eq!(dropped, read(0.3, 0.1, 1), "the seed makes the masks");
        assert_ne!(dropped, read(0.3, 0.1, 2));
        for (padded, was, word, rate) in [
            (&dropped.src, &batch.src, 7, 0.3),
            (&dropped.tgt, &batch.tgt, 8, 0.1),
        ] {
            let (mut words, mut unknown) = (0, 0);
            for (&id, &was) in padded.ids.iter().zip(&was.ids) {
                if was != word {
                    assert_eq!(id, was);
                    continue;
                }
                assert!(id == word || id == UNK);
                words += 1;
                unknown += usize::from(id == UNK);
            }
            let found = f64::from(unknown as u32) / f64::from(words);
            assert!((found - rate).abs() < 0.03, "{found} {rate}");
        }
    }
}
