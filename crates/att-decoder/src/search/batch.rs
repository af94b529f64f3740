use att_core::host_vec;
use burn::tensor::Tensor;

use super::beam::Search;
use super::continuation::continuations;
use super::{FoundToken, Hypothesis, Observer, Request, SearchConfig, SearchTree, Stepper};

/// What a search found for one source.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// At most `n_best`, best first, no two of the same tokens.
    pub hypotheses: Vec<Hypothesis>,
    /// All that was weighed, where [`Request::record`] asked for it.
    pub tree: Option<SearchTree>,
}

/// Sources that begin together.
#[derive(Clone, Debug)]
pub struct Arrivals<S> {
    /// Where decoding starts, one row a source.
    pub start: S,
    /// What is asked of each.
    pub requests: Vec<Request>,
}

/// Where a running search has its sources from, and who it tells what it found. Sources are counted as they
/// come.
pub trait Feed<S>: Observer {
    /// Sources for the places that are free: `room` of them at most, none if there are none now. Asked
    /// before each step for which a quarter of the places is free: to come costs a copy of what is there. Where
    /// no source is left and none comes, the search is over.
    fn arrivals(&mut self, room: usize) -> Option<Arrivals<S>>;

    /// All that was found for a source, as soon as its search has ended.
    fn found(&mut self, source: usize, found: Found);
}

/// Searches a batch of sources: [`search_feed`] of those alone.
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
    let mut batch = Batch {
        arrivals: Some(Arrivals {
            start,
            requests: requests.to_vec(),
        }),
        observer,
        found: vec![None; requests.len()],
    };
    if !requests.is_empty() {
        search_feed(stepper, requests.len(), config, &mut batch);
    }
    batch.found.into_iter().flatten().collect()
}

/// Searches sources as they come, `places` of them at a time: the one loop of all strategies.
///
/// A hypothesis that ends keeps its place: the beam of those still growing narrows by one. Search
/// of a source stops when no hypothesis can still enter its `n_best`: a growing one gains no
/// probability, so the best it can reach is its log-probability now over the penalty at the
/// greatest length. At that length EOS is forced, its probability counted. Ties go to the better
/// parent, then to the smaller id. Greedy search is a beam of one, forced decoding a search with one
/// choice at each step.
///
/// Sources do not see each other: batch and order change nothing but rounding. Finished sources
/// leave, and others take their places, whatever step those who stay are at. What belongs to a source is shared
/// by its beam, not copied. Where no option asks for more, the scores of a row are passed over once
/// ([`top_log_probs`](att_core::ops::top_log_probs())).
///
/// # Panics
///
/// If sources come that are more than there is room for, or not as many as their rows.
pub fn search_feed<S: Stepper>(
    stepper: &S,
    places: usize,
    config: &SearchConfig,
    feed: &mut impl Feed<S::State>,
) {
    let mut running = Running::new(stepper, config);
    let mut count = 0;
    loop {
        let room = places - running.sources.len();
        if 4 * room >= places
            && let Some(arrivals) = feed.arrivals(room)
        {
            assert!(arrivals.requests.len() <= room, "more sources than room");
            let mut arrived = Running::new(stepper, config);
            arrived.begin(arrivals, &mut count);
            // Beside others each would have as many rows as they have, but for one hypothesis.
            if arrived.width < running.width && stepper.rows_take_time() {
                arrived.step(feed);
            }
            running.join(arrived);
        }
        if running.sources.is_empty() {
            return;
        }
        running.step(feed);
    }
}

/// Sources that are searched step by step.
struct Running<'a, S: Stepper> {
    stepper: &'a S,
    config: &'a SearchConfig,
    sources: Vec<Source<'a>>,
    /// Rows of each source, as many as the widest has live hypotheses: row `i * width + slot` belongs to
    /// the i-th source. Slots beyond its live hypotheses idle on a copy of the first.
    width: usize,
    /// None without a source.
    state: Option<S::State>,
}

/// A source whose search goes on.
struct Source<'a> {
    /// Its place among those that have come.
    number: usize,
    search: Search<'a>,
}

impl<'a, S: Stepper> Running<'a, S> {
    fn new(stepper: &'a S, config: &'a SearchConfig) -> Self {
        Self {
            stepper,
            config,
            sources: Vec::new(),
            width: 0,
            state: None,
        }
    }

    /// - `count`: of the sources that have come before
    fn begin(&mut self, Arrivals { start, requests }: Arrivals<S::State>, count: &mut usize) {
        let n = requests.len();
        let source = |(request, number)| Source {
            number,
            search: Search::new(request, self.config),
        };
        self.sources = requests.into_iter().zip(*count..).map(source).collect();
        *count += n;
        // A source has one hypothesis of each group at first.
        self.width = 1;
        self.state = Some(start);
        let (groups, _) = self.config.groups();
        self.widen(groups);
    }

    /// These sources, and others behind them.
    fn join(&mut self, mut more: Self) {
        let width = self.width.max(more.width);
        self.widen(width);
        more.widen(width);
        self.state = match (self.state.take(), more.state) {
            (Some(state), Some(more)) => Some(self.stepper.join(state, more)),
            (state, more) => state.or(more),
        };
        self.sources.extend(more.sources);
    }

    /// To at least so many rows a source.
    fn widen(&mut self, width: usize) {
        let had = self.width;
        if had >= width {
            return;
        }
        let slots = move |slot: usize| if slot < had { slot } else { 0 };
        let of = |source: usize| (0..width).map(move |slot| source * had + slots(slot));
        let rows: Vec<usize> = (0..self.sources.len()).flat_map(of).collect();
        let state = self.state.take();
        self.state = state.map(|state| self.stepper.select(state, &rows, None));
        self.width = width;
    }

    fn step(&mut self, feed: &mut impl Feed<S::State>) {
        let width = self.width;
        let searches = || self.sources.iter().map(|source| &source.search);
        let tokens: Vec<u32> = searches()
            .flat_map(|search| search.previous(width))
            .collect();
        let state = self.state.take().expect("there are sources");
        let step = self.stepper.step(&tokens, state);
        let rules: Vec<_> = searches().flat_map(|search| search.rules(width)).collect();
        let ids = step.ids.as_deref();
        let next = continuations(step.logits, ids, self.config.best_of_row(), &rules);
        drop(rules);
        let weights = WeightRows::new(step.weights);

        let was = self.sources.len();
        let mut kept = Vec::with_capacity(was);
        let mut parents = Vec::with_capacity(was);
        for (position, mut source) in std::mem::take(&mut self.sources).into_iter().enumerate() {
            let (first, search) = (position * width, &mut source.search);
            let n_states = search.n_states();
            let rows = search.advance(&next[first..first + width], |row| {
                weights.row(first + row, n_states)
            });
            if let Some(found) = search.only_token() {
                feed.token(source.number, found);
            }
            match rows.filter(|_| feed.goes_on(source.number)) {
                Some(mut rows) => {
                    rows.iter_mut().for_each(|row| *row += first);
                    kept.push(position);
                    parents.push(rows);
                    self.sources.push(source);
                }
                None => feed.found(source.number, source.search.finish()),
            }
        }
        self.width = parents.iter().map(Vec::len).max().unwrap_or(0);
        if self.sources.is_empty() {
            return;
        }
        let rows = parents
            .iter()
            .flat_map(|of| (0..self.width).map(|slot| *of.get(slot).unwrap_or(&of[0])));
        let rows: Vec<usize> = rows.collect();
        let some_left = kept.len() < was;
        let mut state = step.state;
        if some_left || !rows.iter().copied().eq(0..was * width) {
            let kept = some_left.then_some(kept.as_slice());
            state = self.stepper.select(state, &rows, kept);
        }
        self.state = Some(state);
    }
}

/// Sources that begin together and are alone.
struct Batch<'a, S> {
    arrivals: Option<Arrivals<S>>,
    observer: &'a mut dyn Observer,
    found: Vec<Option<Found>>,
}

impl<S> Feed<S> for Batch<'_, S> {
    fn arrivals(&mut self, _room: usize) -> Option<Arrivals<S>> {
        self.arrivals.take()
    }

    fn found(&mut self, source: usize, found: Found) {
        self.found[source] = Some(found);
    }
}

impl<S> Observer for Batch<'_, S> {
    fn goes_on(&mut self, source: usize) -> bool {
        self.observer.goes_on(source)
    }

    fn token(&mut self, source: usize, found: FoundToken) {
        self.observer.token(source, found);
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
