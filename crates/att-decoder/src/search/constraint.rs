//! Lexical constraints by dynamic beam allocation (Post and Vilar 2018).
//!
//! A hypothesis has met so many tokens of the phrases that must stand in the target; those with as many
//! share a bank, and the banks share the beam. EOS comes only where all is met.
//!
//! What the paper leaves open, whether all is met when the greatest length is reached, is certain here:
//! a continuation is a candidate only where its unmet tokens still fit. One that takes the next token of
//! a phrase always does, and it is among the candidates whatever its probability.

/// What a hypothesis has met of the phrases.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    met: Vec<bool>,
    /// Its last tokens, those of met phrases left out: each phrase stands for itself.
    tail: Vec<u32>,
    /// The phrase that it stands in, and how many of its tokens it has.
    begun: Option<(usize, usize)>,
    /// How many tokens it still needs.
    unmet: usize,
}

impl Progress {
    /// Of the empty hypothesis.
    pub(super) fn new(phrases: &[Vec<u32>]) -> Self {
        Self {
            met: vec![false; phrases.len()],
            tail: Vec::new(),
            begun: None,
            unmet: phrases.iter().map(Vec::len).sum(),
        }
    }

    /// How many tokens are still needed.
    pub(super) fn unmet(&self) -> usize {
        self.unmet
    }

    /// The tokens that meet one more: the next of the phrase that is begun, or the first of each.
    pub(super) fn wanted(&self, phrases: &[Vec<u32>]) -> Vec<u32> {
        if let Some((phrase, len)) = self.begun {
            return vec![phrases[phrase][len]];
        }
        let unmet = phrases.iter().zip(&self.met).filter(|(_, met)| !**met);
        unmet.map(|(phrase, _)| phrase[0]).collect()
    }

    /// With one more token: of all phrases that the hypothesis may stand in, it stands in the one of
    /// which it has most.
    pub(super) fn with(&self, token: u32, phrases: &[Vec<u32>]) -> Self {
        let mut next = self.clone();
        next.unmet += self.begun.map_or(0, |(_, len)| len);
        next.begun = None;
        next.tail.push(token);
        let matched = |phrase: &Vec<u32>| {
            let mut lens = (1..=phrase.len()).rev();
            lens.find(|&len| next.tail.ends_with(&phrase[..len]))
        };
        let standing = phrases
            .iter()
            .enumerate()
            .filter(|(index, _)| !self.met[*index])
            .filter_map(|(index, phrase)| Some((index, matched(phrase)?)))
            // Among equals a phrase that is met, then the first.
            .max_by_key(|&(index, len)| {
                (len, len == phrases[index].len(), std::cmp::Reverse(index))
            });
        if let Some((index, len)) = standing {
            next.unmet -= len;
            if len == phrases[index].len() {
                next.met[index] = true;
                next.tail.clear();
            } else {
                next.begun = Some((index, len));
            }
        }
        let longest = phrases.iter().map(Vec::len).max().unwrap_or(0);
        let old = next.tail.len().saturating_sub(longest);
        next.tail.drain(..old);
        next
    }
}

/// How many candidates of each bank get a place: `room` is divided evenly, the rest goes to the last
/// banks, which have met most, and so does what a bank has no candidates for.
///
/// - `candidates`: how many each bank has
pub(super) fn allocate(candidates: &[usize], room: usize) -> Vec<usize> {
    let banks = candidates.len();
    let mut places: Vec<usize> = (0..banks)
        .map(|bank| room / banks + usize::from(banks - bank <= room % banks))
        .zip(candidates)
        .map(|(places, &candidates)| places.min(candidates))
        .collect();
    let mut left = room - places.iter().sum::<usize>();
    for (places, candidates) in places.iter_mut().zip(candidates).rev() {
        let more = left.min(candidates - *places);
        *places += more;
        left -= more;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(tokens: &[u32], phrases: &[Vec<u32>]) -> Progress {
        let start = Progress::new(phrases);
        let with = |progress: Progress, &token: &u32| progress.with(token, phrases);
        tokens.iter().fold(start, with)
    }

    #[test]
    fn a_phrase_is_met_as_a_whole() {
        let phrases = [vec![5, 6, 7], vec![8]];
        let unmet = |tokens: &[u32]| after(tokens, &phrases).unmet();
        assert_eq!(unmet(&[]), 4);
        assert_eq!(unmet(&[5, 6]), 2);
        assert_eq!(unmet(&[5, 6, 9]), 4, "what is broken off does not count");
        assert_eq!(unmet(&[5, 6, 8]), 3);
        assert_eq!(unmet(&[5, 6, 7]), 1);
        assert_eq!(unmet(&[8, 5, 6, 7]), 0);
        assert_eq!(unmet(&[5, 6, 5, 6, 7]), 1);
        assert_eq!(after(&[], &phrases).wanted(&phrases), [5, 8]);
        assert_eq!(after(&[9, 5, 6], &phrases).wanted(&phrases), [7]);
        assert_eq!(after(&[8], &phrases).wanted(&phrases), [5]);
    }

    #[test]
    fn a_phrase_may_begin_within_its_own_beginning() {
        let phrases = [vec![5, 5, 6]];
        assert_eq!(after(&[5, 5, 5], &phrases).unmet(), 1);
        assert_eq!(after(&[5, 5, 5, 6], &phrases).unmet(), 0);
    }

    #[test]
    fn each_phrase_stands_for_itself() {
        let phrases = [vec![5], vec![5]];
        assert_eq!(after(&[5], &phrases).unmet(), 1);
        assert_eq!(after(&[5, 5], &phrases).unmet(), 0);
        let phrases = [vec![5, 6], vec![6, 7]];
        assert_eq!(after(&[5, 6, 7], &phrases).unmet(), 2);
        assert_eq!(after(&[5, 6, 6, 7], &phrases).unmet(), 0);
    }

    #[test]
    fn what_is_wanted_always_leaves_less_to_meet() {
        let phrases = [vec![5, 6, 7], vec![6], vec![6, 5], vec![5, 5, 6]];
        let total: usize = phrases.iter().map(Vec::len).sum();
        let mut tokens = vec![0u32; 7];
        for number in 0..4usize.pow(7) {
            let mut rest = number;
            for token in &mut tokens {
                *token = 5 + (rest % 4) as u32;
                rest /= 4;
            }
            let mut progress = after(&tokens, &phrases);
            let mut steps = 0;
            while progress.unmet() > 0 {
                for token in progress.wanted(&phrases) {
                    assert!(progress.with(token, &phrases).unmet() < progress.unmet());
                }
                let token = progress.wanted(&phrases)[0];
                progress = progress.with(token, &phrases);
                steps += 1;
            }
            assert!(steps <= total);
        }
    }

    #[test]
    fn banks_share_the_beam() {
        assert_eq!(allocate(&[9, 9, 9], 6), [2, 2, 2]);
        assert_eq!(allocate(&[9, 9, 9], 5), [1, 2, 2]);
        assert_eq!(allocate(&[9, 9, 9], 1), [0, 0, 1]);
        assert_eq!(allocate(&[9, 1, 0], 6), [5, 1, 0]);
        assert_eq!(allocate(&[9, 9, 1], 6), [2, 3, 1]);
        assert_eq!(allocate(&[1, 0, 1], 6), [1, 0, 1]);
    }
}
