use att_core::EncoderOutput;
use att_core::ops::{Choice, TokenLogProb, top_log_probs};
use att_core::special::{BOS, EOS, PAD};
use burn::tensor::{Int, Tensor};

use super::{Hypothesis, SearchConfig, WeightRows, n_states};
use crate::Decoder;

/// Keeps the `beam_size` most probable hypotheses at each step (Graves 2012; Sutskever et al.
/// 2014).
///
/// A hypothesis that ends keeps its place: the beam of those still growing narrows by one. Search
/// of a source stops when no hypothesis can still enter its `n_best`: a growing one gains no
/// probability, so the best it can reach is its log-probability now over the penalty at the
/// greatest length. At that length EOS is forced, its probability counted. Ties go to the better
/// parent, then to the smaller id.
///
/// Sources do not see each other: batch and order change nothing but rounding. Finished sources
/// leave the batch. The memory of a source is shared by its beam, not copied.
///
/// # Panics
///
/// If `lengths` does not name one length a source.
pub fn beam_search(
    decoder: &impl Decoder,
    source: &EncoderOutput,
    lengths: &[usize],
    config: &SearchConfig,
) -> Vec<Vec<Hypothesis>> {
    let [batch, _, _] = source.memory.dims();
    assert_eq!(lengths.len(), batch, "one length a source");
    let device = source.memory.device();
    let n_states = n_states(source);
    let beam = config.beam_size;
    let mut searches: Vec<Search> = lengths
        .iter()
        .map(|&len| Search::new(len, config))
        .collect();
    let mut active: Vec<usize> = (0..batch).collect();
    let mut memory = decoder.prepare(source);
    let mut state = decoder.initial_state(source);
    // Each source has as many rows as the widest beam has live hypotheses, one at first: row
    // `i * width + slot` belongs to the i-th active source. Slots beyond its live hypotheses idle
    // on a copy of the first.
    let mut width = 1;
    loop {
        let previous: Vec<i64> = active
            .iter()
            .flat_map(|&index| (0..width).map(move |slot| (index, slot)))
            .map(|(index, slot)| i64::from(searches[index].previous(slot)))
            .collect();
        let tokens = Tensor::<1, Int>::from_data(previous.as_slice(), &device);
        let step = decoder.step(tokens, &memory, state);
        let choices: Vec<_> = active
            .iter()
            .flat_map(|&index| std::iter::repeat_n(searches[index].choice(), width))
            .collect();
        let best = top_log_probs(step.logits, beam, &choices);
        let weights = WeightRows::new(step.weights);

        let mut kept = Vec::with_capacity(active.len());
        let mut parents = Vec::with_capacity(active.len());
        for (position, &index) in active.iter().enumerate() {
            let rows = position * width;
            let slots = searches[index].advance(&best[rows..rows + width], |slot| {
                weights.row(rows + slot, n_states[index])
            });
            if let Some(slots) = slots {
                kept.push(position);
                parents.push(
                    slots
                        .into_iter()
                        .map(|slot| rows + slot)
                        .collect::<Vec<_>>(),
                );
            }
        }
        let Some(widest) = parents.iter().map(Vec::len).max() else {
            return searches.into_iter().map(Search::finish).collect();
        };
        width = widest;
        let rows: Vec<usize> = parents
            .iter()
            .flat_map(|of| (0..width).map(|slot| *of.get(slot).unwrap_or(&of[0])))
            .collect();
        state = step.state.select(&rows, &device);
        if kept.len() < active.len() {
            active = kept.iter().map(|&position| active[position]).collect();
            memory = memory.select(&kept, &device);
        }
    }
}

/// One token of a hypothesis, and where it came from.
struct Node {
    parent: Option<usize>,
    token: u32,
    log_prob: f32,
    weights: Option<Vec<f32>>,
}

/// A hypothesis in the beam: its last node (none at the beginning) and its log-probability.
#[derive(Clone, Copy)]
struct Tip {
    node: Option<usize>,
    log_prob: f64,
}

/// A continuation that may enter the beam.
#[derive(Clone, Copy)]
struct Candidate {
    slot: usize,
    token: u32,
    token_log_prob: f32,
    log_prob: f64,
}

/// The search of one source.
struct Search<'a> {
    config: &'a SearchConfig,
    max_len: usize,
    /// Tokens of each live hypothesis.
    len: usize,
    nodes: Vec<Node>,
    live: Vec<Tip>,
    /// Ended hypotheses with their scores, best first.
    ended: Vec<(Tip, f64)>,
}

impl<'a> Search<'a> {
    fn new(src_len: usize, config: &'a SearchConfig) -> Self {
        let root = Tip {
            node: None,
            log_prob: 0.0,
        };
        Self {
            config,
            max_len: config.max_len_for(src_len),
            len: 0,
            nodes: Vec::new(),
            live: vec![root],
            ended: Vec::new(),
        }
    }

    /// The last token of the hypothesis in `slot`; an idle slot gets PAD.
    fn previous(&self, slot: usize) -> u32 {
        match self.live.get(slot) {
            Some(Tip {
                node: Some(node), ..
            }) => self.nodes[*node].token,
            Some(Tip { node: None, .. }) => BOS,
            None => PAD,
        }
    }

    /// Which tokens may come next.
    fn choice(&self) -> Choice<'static> {
        self.config.choice(self.len, self.max_len)
    }

    /// Extends the live hypotheses by one token each, given the best tokens of each slot. Returns
    /// the slot that each new one came from, or none when the search is over.
    fn advance(
        &mut self,
        best: &[Vec<TokenLogProb>],
        weights: impl Fn(usize) -> Option<Vec<f32>>,
    ) -> Option<Vec<usize>> {
        let room = self.config.beam_size - self.ended.len();
        let candidates = self.candidates(best, room);
        self.len += 1;
        let mut live = Vec::with_capacity(room);
        let mut slots = Vec::with_capacity(room);
        for candidate in candidates {
            self.nodes.push(Node {
                parent: self.live[candidate.slot].node,
                token: candidate.token,
                log_prob: candidate.token_log_prob,
                weights: weights(candidate.slot),
            });
            let tip = Tip {
                node: Some(self.nodes.len() - 1),
                log_prob: candidate.log_prob,
            };
            if candidate.token == EOS {
                let score = tip.log_prob / self.config.length_penalty.divisor(self.len);
                let rank = self.ended.partition_point(|(_, other)| *other >= score);
                self.ended.insert(rank, (tip, score));
            } else {
                live.push(tip);
                slots.push(candidate.slot);
            }
        }
        self.live = live;
        (!self.is_over()).then_some(slots)
    }

    /// The `room` best continuations, best first.
    fn candidates(&self, best: &[Vec<TokenLogProb>], room: usize) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::with_capacity(self.live.len() * room);
        for (slot, (tip, best)) in self.live.iter().zip(best).enumerate() {
            candidates.extend(best.iter().take(room).map(|next| Candidate {
                slot,
                token: next.token,
                token_log_prob: next.log_prob,
                log_prob: tip.log_prob + f64::from(next.log_prob),
            }));
        }
        // Stable: among equals the better parent stays first, then the smaller id.
        candidates.sort_by(|a, b| b.log_prob.total_cmp(&a.log_prob));
        candidates.truncate(room);
        candidates
    }

    /// Whether no live hypothesis can still enter the n best.
    fn is_over(&self) -> bool {
        let Some(best) = self.live.first() else {
            return true;
        };
        let Some((_, last)) = self.ended.get(self.config.n_best - 1) else {
            return false;
        };
        let longest = self.config.length_penalty.divisor(self.max_len + 1);
        *last >= best.log_prob / longest
    }

    fn finish(mut self) -> Vec<Hypothesis> {
        self.ended.truncate(self.config.n_best);
        let ended = std::mem::take(&mut self.ended);
        ended
            .into_iter()
            .map(|(tip, score)| self.hypothesis(tip, score))
            .collect()
    }

    /// Follows the backpointers of an ended hypothesis.
    fn hypothesis(&self, tip: Tip, score: f64) -> Hypothesis {
        let mut path = Vec::with_capacity(self.len);
        let mut next = tip.node;
        while let Some(index) = next {
            path.push(&self.nodes[index]);
            next = self.nodes[index].parent;
        }
        path.reverse();
        let ended = path.len() - 1;
        Hypothesis {
            tokens: path[..ended].iter().map(|node| node.token).collect(),
            score,
            log_prob: tip.log_prob,
            token_log_probs: path.iter().map(|node| node.log_prob).collect(),
            weights: path.iter().map(|node| node.weights.clone()).collect(),
        }
    }
}
