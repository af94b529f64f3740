use att_core::host_vec;
use burn::tensor::Tensor;

use super::beam::Search;
use super::continuation::continuations;
use super::{Hypothesis, Observer, Request, SearchConfig, SearchTree, Stepper};

/// What a search found for one source.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// At most `n_best`, best first, no two of the same tokens.
    pub hypotheses: Vec<Hypothesis>,
    /// All that was weighed, where [`Request::record`] asked for it.
    pub tree: Option<SearchTree>,
}

/// Searches a batch of sources: the one loop of all strategies.
///
/// A hypothesis that ends keeps its place: the beam of those still growing narrows by one. Search
/// of a source stops when no hypothesis can still enter its `n_best`: a growing one gains no
/// probability, so the best it can reach is its log-probability now over the penalty at the
/// greatest length. At that length EOS is forced, its probability counted. Ties go to the better
/// parent, then to the smaller id. Greedy search is a beam of one, forced decoding a search with one
/// choice at each step.
///
/// Sources do not see each other: batch and order change nothing but rounding. Finished sources
/// leave the batch. What belongs to a source is shared by its beam, not copied. Where no option asks for
/// more, the scores of a row are passed over once ([`top_log_probs`](att_core::ops::top_log_probs())).
///
/// - `start`: where decoding starts, one row a source
///
/// # Panics
///
/// If there are not as many rows as requests.
pub fn search<S: Stepper>(
    stepper: &S,
    start: S::State,
    requests: &[Request],
    config: &SearchConfig,
) -> Vec<Found> {
    search_observed(stepper, start, requests, config, &mut ())
}

/// As [`search`], with someone who looks on. What is found does not depend on it, but for the sources that
/// it calls off.
///
/// # Panics
///
/// As [`search`].
pub fn search_observed<S: Stepper>(
    stepper: &S,
    start: S::State,
    requests: &[Request],
    config: &SearchConfig,
    observer: &mut dyn Observer,
) -> Vec<Found> {
    let mut searches: Vec<Search> = requests
        .iter()
        .map(|request| Search::new(request, config))
        .collect();
    let mut active: Vec<usize> = (0..requests.len()).collect();
    if active.is_empty() {
        return Vec::new();
    }
    // Each source has as many rows as the widest has live hypotheses, one of each group at first: row
    // `i * width + slot` belongs to the i-th active source. Slots beyond its live hypotheses idle
    // on a copy of the first.
    let (mut width, _) = config.groups();
    let mut state = start;
    if width > 1 {
        let rows: Vec<usize> = active
            .iter()
            .flat_map(|&source| std::iter::repeat_n(source, width))
            .collect();
        state = stepper.select(state, &rows, None);
    }
    loop {
        let of_active = |index: &usize| searches[*index].previous(width);
        let tokens: Vec<u32> = active.iter().flat_map(of_active).collect();
        let step = stepper.step(&tokens, state);
        let rules: Vec<_> = active
            .iter()
            .flat_map(|&index| searches[index].rules(width))
            .collect();
        let ids = step.ids.as_deref();
        let next = continuations(step.logits, ids, config.best_of_row(), &rules);
        drop(rules);
        let weights = WeightRows::new(step.weights);

        let mut kept = Vec::with_capacity(active.len());
        let mut parents = Vec::with_capacity(active.len());
        for (position, &index) in active.iter().enumerate() {
            let first = position * width;
            let n_states = requests[index].n_states;
            let rows = searches[index].advance(&next[first..first + width], |row| {
                weights.row(first + row, n_states)
            });
            if let Some(found) = searches[index].only_token() {
                observer.token(index, found);
            }
            if let Some(mut rows) = rows.filter(|_| observer.goes_on(index)) {
                rows.iter_mut().for_each(|row| *row += first);
                kept.push(position);
                parents.push(rows);
            }
        }
        let Some(widest) = parents.iter().map(Vec::len).max() else {
            return searches.into_iter().map(Search::finish).collect();
        };
        let was = active.len() * width;
        width = widest;
        let rows: Vec<usize> = parents
            .iter()
            .flat_map(|of| (0..width).map(|slot| *of.get(slot).unwrap_or(&of[0])))
            .collect();
        let some_left = kept.len() < active.len();
        state = step.state;
        if some_left || !rows.iter().copied().eq(0..was) {
            state = stepper.select(state, &rows, some_left.then_some(kept.as_slice()));
        }
        if some_left {
            active = kept.iter().map(|&position| active[position]).collect();
        }
    }
}

/// The attention weights of a step over the states of the memory, on the host.
struct WeightRows {
    /// Row-major, `[rows, src_len]`; none without attention.
    weights: Option<Vec<f32>>,
    src_len: usize,
}

impl WeightRows {
    fn new(weights: Option<Tensor<2>>) -> Self {
        let src_len = weights.as_ref().map_or(0, |weights| weights.dims()[1]);
        let weights = weights.map(host_vec);
        Self { weights, src_len }
    }

    /// Those over the first `n_states` of the memory, which are the real ones.
    fn row(&self, row: usize, n_states: usize) -> Option<Vec<f32>> {
        let weights = self.weights.as_ref()?;
        Some(weights[row * self.src_len..][..n_states].to_vec())
    }
}
