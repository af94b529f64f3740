use att_core::special::{BOS, EOS, PAD};

use super::constraint::{Progress, allocate};
use super::continuation::{Continuation, Rule, SpecialRule};
use super::coverage::coverage_penalty;
use super::repetition::ngram_ends;
use super::{
    Fate, Found, FoundToken, Hypothesis, LengthBounds, Request, SamplingConfig, ScoreTerms,
    SearchConfig, SearchTree, TreeNode,
};

/// One token of a hypothesis, and where it came from.
struct Node {
    parent: Option<usize>,
    token: u32,
    log_prob: f32,
    weights: Option<Vec<f32>>,
    /// Its place in the recorded tree.
    recorded: usize,
}

/// A hypothesis: its last node (none at the beginning), what search has added up of it, and what it
/// has met of the constraints.
#[derive(Clone)]
struct Tip {
    node: Option<usize>,
    total: f64,
    progress: Option<Progress>,
}

/// A continuation that may enter a beam.
struct Candidate {
    slot: usize,
    next: Continuation,
    total: f64,
    /// What it is chosen by: the total, less what diversity takes off.
    rank: f64,
    progress: Option<Progress>,
}

/// One beam: of diverse search one of several, of sampling a single sample.
struct Group {
    size: usize,
    live: Vec<Tip>,
    /// Ended hypotheses, best first.
    ended: Vec<Ended>,
}

struct Ended {
    tip: Tip,
    score: f64,
    coverage: f64,
}

/// The search of one source: its beams, whose live hypotheses are so many rows, side by side.
pub(super) struct Search<'a> {
    config: &'a SearchConfig,
    request: Request,
    bounds: LengthBounds,
    /// The source's own vocabulary, rising.
    allowed: Option<Vec<u32>>,
    /// Tokens of each live hypothesis.
    len: usize,
    nodes: Vec<Node>,
    groups: Vec<Group>,
    tree: Option<SearchTree>,
}

impl<'a> Search<'a> {
    pub(super) fn new(request: Request, config: &'a SearchConfig) -> Self {
        let mut bounds = config.bounds_for(request.src_len);
        // What is asked for has to fit.
        let least = request.prefix.len() + request.constraint_len();
        bounds.max = bounds.max.max(least);
        let phrases = &request.constraints;
        let root = Tip {
            node: None,
            total: 0.0,
            progress: (!phrases.is_empty()).then(|| Progress::new(phrases)),
        };
        let (groups, size) = config.groups();
        let group = |_| Group {
            size,
            live: vec![root.clone()],
            ended: Vec::new(),
        };
        Self {
            config,
            bounds,
            allowed: request.vocabulary(),
            len: 0,
            nodes: Vec::new(),
            groups: (0..groups).map(group).collect(),
            tree: request.record.then(SearchTree::default),
            request,
        }
    }

    /// States of the memory that are the source's.
    pub(super) fn n_states(&self) -> usize {
        self.request.n_states
    }

    /// The live hypotheses with their groups, in the order of their rows.
    fn live(&self) -> impl Iterator<Item = (usize, &Tip)> {
        let groups = self.groups.iter().enumerate();
        groups.flat_map(|(group, beam)| beam.live.iter().map(move |tip| (group, tip)))
    }

    /// The last token of each of `width` rows; idle ones get PAD.
    pub(super) fn previous(&self, width: usize) -> impl Iterator<Item = u32> {
        let last =
            move |(_, tip): (usize, &Tip)| tip.node.map_or(BOS, |node| self.nodes[node].token);
        let idle = std::iter::repeat(PAD);
        self.live().map(last).chain(idle).take(width)
    }

    /// How each of `width` rows may go on.
    pub(super) fn rules(&self, width: usize) -> impl Iterator<Item = Rule<'_>> {
        let choice = self.config.choice(&self.request, self.len, &self.bounds);
        let special = self.config.is_special() || !self.request.is_free();
        let rule = move |(group, tip): (usize, &Tip)| Rule {
            choice,
            special: special.then(|| self.special_rule(group, tip)),
        };
        let idle = move || Rule {
            choice,
            special: None,
        };
        let rows = self.live().map(rule).chain(std::iter::repeat_with(idle));
        rows.take(width)
    }

    fn special_rule(&self, group: usize, tip: &Tip) -> SpecialRule<'_> {
        let (theta, n) = (self.config.repetition_penalty, self.config.no_repeat_ngram);
        let mut tokens: Vec<u32> = Vec::new();
        if theta != 1.0 || n > 0 {
            tokens.extend(self.path(tip).map(|node| node.token));
            tokens.reverse();
        }
        let mut banned: Vec<u32> = ngram_ends(&tokens, n).collect();
        let mut wanted = Vec::new();
        if let Some(progress) = tip
            .progress
            .as_ref()
            .filter(|progress| progress.unmet() > 0)
        {
            banned.push(EOS);
            wanted = progress.wanted(&self.request.constraints);
        }
        if theta == 1.0 {
            tokens.clear();
        }
        tokens.sort_unstable();
        tokens.dedup();
        let uniform =
            |sampling: &SamplingConfig| sampling.uniform(self.request.seed, group, self.len);
        SpecialRule {
            banned,
            allowed: self.allowed.as_deref(),
            repeated: tokens,
            theta,
            wanted,
            draw: self.config.strategy.sampling().map(|it| (it, uniform(it))),
        }
    }

    /// Extends the live hypotheses by one token each, given the continuations of each row. Returns the
    /// rows that the new ones came from, or none when the search is over.
    pub(super) fn advance(
        &mut self,
        next: &[Vec<Continuation>],
        weights: impl Fn(usize) -> Option<Vec<f32>>,
    ) -> Option<Vec<usize>> {
        self.len += 1;
        let mut rows = Vec::new();
        // The tokens that earlier groups have taken at this step.
        let mut taken = Vec::new();
        let mut first = 0;
        for group in 0..self.groups.len() {
            let parents = std::mem::take(&mut self.groups[group].live);
            let next = &next[first..first + parents.len()];
            let room = self.groups[group].size - self.groups[group].ended.len();
            let candidates = self.candidates(&parents, next, room, &taken);
            let places = self.places(&candidates, room);
            let mut came_from = Vec::new();
            for (candidate, has_place) in candidates.into_iter().zip(places) {
                let parent = parents[candidate.slot].node;
                let recorded = self.record(group, parent, &candidate, has_place);
                if !has_place {
                    continue;
                }
                let row = first + candidate.slot;
                self.nodes.push(Node {
                    parent,
                    token: candidate.next.token,
                    log_prob: candidate.next.log_prob,
                    weights: weights(row),
                    recorded,
                });
                taken.push(candidate.next.token);
                let tip = Tip {
                    node: Some(self.nodes.len() - 1),
                    total: candidate.total,
                    progress: candidate.progress,
                };
                if candidate.next.token == EOS {
                    self.end(group, tip);
                } else {
                    self.groups[group].live.push(tip);
                    came_from.push(row);
                }
            }
            if self.is_over(group) {
                self.groups[group].live.clear();
            } else {
                rows.extend(came_from);
            }
            first += parents.len();
        }
        (!rows.is_empty()).then_some(rows)
    }

    /// The last token, where there is room for one hypothesis alone: each step adds a node then.
    pub(super) fn only_token(&self) -> Option<FoundToken<'_>> {
        let node = self.nodes.last()?;
        self.config.has_one_hypothesis().then_some(FoundToken {
            token: node.token,
            log_prob: node.log_prob,
            weights: node.weights.as_deref(),
        })
    }

    /// The continuations that may have a place in a beam, best first: of each row as many as there is
    /// room, or all where something else counts beside their probability.
    fn candidates(
        &self,
        parents: &[Tip],
        next: &[Vec<Continuation>],
        room: usize,
        taken: &[u32],
    ) -> Vec<Candidate> {
        let diversity = self.config.strategy.diversity();
        let phrases = &self.request.constraints;
        let of_each = if diversity > 0.0 || !phrases.is_empty() {
            usize::MAX
        } else {
            room
        };
        let left = self.bounds.max.saturating_sub(self.len);
        let mut candidates = Vec::with_capacity(parents.len() * room);
        for (slot, (tip, next)) in parents.iter().zip(next).enumerate() {
            for &next in next.iter().take(of_each) {
                let progress = tip.progress.as_ref();
                let progress = progress.map(|progress| match next.token {
                    EOS => progress.clone(),
                    token => progress.with(token, phrases),
                });
                if progress
                    .as_ref()
                    .is_some_and(|progress| progress.unmet() > left)
                {
                    continue; // what is unmet would not fit any more
                }
                let total = tip.total + f64::from(next.adjusted);
                let mut rank = total;
                if diversity > 0.0 {
                    let times = taken.iter().filter(|&&token| token == next.token).count();
                    rank -= diversity * times as f64;
                }
                candidates.push(Candidate {
                    slot,
                    next,
                    total,
                    rank,
                    progress,
                });
            }
        }
        // Stable: among equals the better parent stays first, then the smaller id.
        candidates.sort_by(|a, b| b.rank.total_cmp(&a.rank));
        candidates
    }

    /// Which candidates get one of `room` places: the best, or those of each bank where there are
    /// constraints.
    fn places(&self, candidates: &[Candidate], room: usize) -> Vec<bool> {
        let needed = self.request.constraint_len();
        if needed == 0 {
            return (0..candidates.len()).map(|rank| rank < room).collect();
        }
        let bank =
            |candidate: &Candidate| needed - candidate.progress.as_ref().map_or(0, Progress::unmet);
        let mut banks = vec![0; needed + 1];
        for candidate in candidates {
            banks[bank(candidate)] += 1;
        }
        let mut places = allocate(&banks, room);
        let has_place = |candidate: &Candidate| {
            let left = &mut places[bank(candidate)];
            let has_place = *left > 0;
            *left = left.saturating_sub(1);
            has_place
        };
        candidates.iter().map(has_place).collect()
    }

    /// Puts a hypothesis that has its EOS among the ended ones of its group.
    fn end(&mut self, group: usize, tip: Tip) {
        let normal = tip.total / self.config.length_penalty.divisor(self.len);
        let beta = self.config.coverage_penalty;
        let coverage = if beta > 0.0 {
            let weights = self.path(&tip).filter_map(|node| node.weights.as_deref());
            let attends = self.path(&tip).any(|node| node.weights.is_some());
            let n_states = if attends { self.request.n_states } else { 0 };
            coverage_penalty(beta, n_states, weights)
        } else {
            0.0
        };
        let score = normal + coverage;
        if let (Some(tree), Some(node)) = (&mut self.tree, tip.node) {
            tree.nodes[self.nodes[node].recorded].score = Some(score);
        }
        let ended = &mut self.groups[group].ended;
        let rank = ended.partition_point(|other| other.score >= score);
        ended.insert(
            rank,
            Ended {
                tip,
                score,
                coverage,
            },
        );
    }

    /// Whether no live hypothesis of a group can still enter the n best of it: its total does not rise,
    /// the penalty is greatest at the greatest length, and the coverage penalty is at most zero.
    fn is_over(&self, group: usize) -> bool {
        let Group { size, live, ended } = &self.groups[group];
        let Some(best) = live.iter().map(|tip| tip.total).max_by(f64::total_cmp) else {
            return true;
        };
        let Some(last) = ended.get(self.config.n_best.min(*size) - 1) else {
            return false;
        };
        last.score >= best / self.config.length_penalty.divisor(self.bounds.max + 1)
    }

    /// Adds a candidate to the tree, where there is one; returns its place.
    fn record(
        &mut self,
        group: usize,
        parent: Option<usize>,
        candidate: &Candidate,
        has_place: bool,
    ) -> usize {
        let Some(tree) = &mut self.tree else {
            return 0;
        };
        let Continuation {
            token, log_prob, ..
        } = candidate.next;
        tree.nodes.push(TreeNode {
            parent: parent.map(|node| self.nodes[node].recorded),
            step: self.len,
            group,
            token,
            log_prob,
            total: candidate.total,
            score: None,
            fate: match (has_place, token) {
                (false, _) => Fate::Pruned,
                (true, EOS) => Fate::Ended,
                (true, _) => Fate::Kept,
            },
            rank: None,
        });
        tree.nodes.len() - 1
    }

    /// The nodes of a hypothesis, the last first.
    fn path(&self, tip: &Tip) -> impl Iterator<Item = &Node> {
        let of = move |index: usize| &self.nodes[index];
        std::iter::successors(tip.node.map(of), move |node| node.parent.map(of))
    }

    /// The n best of all groups, no two of the same tokens.
    pub(super) fn finish(mut self) -> Found {
        let groups = std::mem::take(&mut self.groups);
        let mut ended: Vec<Ended> = groups.into_iter().flat_map(|group| group.ended).collect();
        ended.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut hypotheses: Vec<Hypothesis> = Vec::with_capacity(self.config.n_best);
        for ended in ended {
            if hypotheses.len() == self.config.n_best {
                break;
            }
            let hypothesis = self.hypothesis(&ended);
            if hypotheses
                .iter()
                .any(|other| other.tokens == hypothesis.tokens)
            {
                continue;
            }
            if let (Some(tree), Some(node)) = (&mut self.tree, ended.tip.node) {
                tree.nodes[self.nodes[node].recorded].rank = Some(hypotheses.len());
            }
            hypotheses.push(hypothesis);
        }
        Found {
            hypotheses,
            tree: self.tree,
        }
    }

    fn hypothesis(&self, ended: &Ended) -> Hypothesis {
        let mut path: Vec<&Node> = self.path(&ended.tip).collect();
        path.reverse();
        let log_prob = path.iter().map(|node| f64::from(node.log_prob)).sum();
        let total = ended.tip.total;
        Hypothesis {
            tokens: path[..path.len() - 1]
                .iter()
                .map(|node| node.token)
                .collect(),
            score: ended.score,
            log_prob,
            token_log_probs: path.iter().map(|node| node.log_prob).collect(),
            terms: ScoreTerms {
                repetition: total - log_prob,
                length: ended.score - ended.coverage - total,
                coverage: ended.coverage,
            },
            weights: path.iter().map(|node| node.weights.clone()).collect(),
        }
    }
}
