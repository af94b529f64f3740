//! Lines that come while others are translated.

use std::collections::{BTreeMap, VecDeque};

use att_core::special::EOS;
use att_data::{Batch, BatchLimit, Example, Pair};
use att_decoder::search::{Found, FoundToken, Hypothesis, Observer, Request, SearchConfig};

use super::{
    AttentionEdit, FoundPiece, Translation, TranslationObserver, TranslationRequest, Translator,
};
use crate::Result;
use crate::together::Lines;

/// Brings lines to a translator that is at work, and takes what it makes of them. Requests are counted as they
/// come.
pub trait TranslationFeed: TranslationObserver {
    /// Lines for the places that are free: `room` of them at most, none if there are none now. Asked again
    /// and again while a quarter of the places is free. Where no line is left and none comes, the work is over.
    fn requests(&mut self, room: usize) -> Vec<TranslationRequest>;

    /// What became of a request, as soon as it is known.
    ///
    /// The error is that of [`Translator::translate_requests`] for what is asked of this line.
    fn done(&mut self, request: usize, translation: Result<Translation>);
}

impl Translator {
    /// Translates lines as they come, `places` of them at a time, on the calling thread: a line does not wait
    /// for those before it, but for a place. What a line comes with changes nothing but rounding.
    ///
    /// For lines that are known, [`translate_requests`](Self::translate_requests) takes less time: it translates
    /// together what is of like length.
    ///
    /// # Errors
    ///
    /// If a setting of the search is out of its range.
    ///
    /// # Panics
    ///
    /// If a request has edits: they are for [`translate_requests`](Self::translate_requests).
    pub fn translate_feed(
        &self,
        places: usize,
        search: &SearchConfig,
        feed: &mut dyn TranslationFeed,
    ) -> Result<()> {
        self.check_search(search)?;
        let mut counted = Counted {
            translator: self,
            feed,
            count: 0,
        };
        self.run(&[], places.max(1), search, &mut counted);
        Ok(())
    }

    /// Translates all that is supplied, up to `places` lines at a time.
    ///
    /// - `edits`: of the only line
    pub(super) fn run(
        &self,
        edits: &[AttentionEdit],
        places: usize,
        search: &SearchConfig,
        supply: &mut impl Supply,
    ) {
        let mut under_way = UnderWay {
            translator: self,
            search,
            limit: BatchLimit::of_rows(places),
            supply,
            waiting: VecDeque::new(),
            lines: BTreeMap::new(),
            count: 0,
        };
        self.together(edits)
            .search_lines(places, search, &mut under_way);
    }

    /// A line as the (first) model reads it.
    pub(super) fn line(&self, number: usize, request: TranslationRequest) -> Line {
        let example = self.example(&Pair::new(request.line.as_str(), ""));
        Line {
            number,
            request,
            example,
        }
    }
}

/// A line to be translated.
pub(super) struct Line {
    /// What its supplier calls it.
    pub(super) number: usize,
    pub(super) request: TranslationRequest,
    pub(super) example: Example,
}

impl Line {
    /// Source tokens, EOS included.
    pub(super) fn width(&self) -> usize {
        self.example.src.len() + 1
    }
}

/// [`TranslationFeed`] of lines that are cut into tokens.
pub(super) trait Supply {
    /// Who looks on; requests are called as the lines are.
    fn observer(&mut self) -> &mut dyn TranslationObserver;

    fn lines(&mut self, room: usize) -> Vec<Line>;

    fn done(&mut self, number: usize, translation: Result<Translation>);
}

/// The lines of a feed.
struct Counted<'a> {
    translator: &'a Translator,
    feed: &'a mut dyn TranslationFeed,
    /// Requests that have come.
    count: usize,
}

impl Supply for Counted<'_> {
    fn observer(&mut self) -> &mut dyn TranslationObserver {
        self.feed
    }

    fn lines(&mut self, room: usize) -> Vec<Line> {
        let requests = self.feed.requests(room).into_iter().zip(self.count..);
        let line = |(request, number): (TranslationRequest, usize)| {
            assert!(request.edits.is_empty(), "a request with edits is alone");
            self.translator.line(number, request)
        };
        let lines: Vec<Line> = requests.map(line).collect();
        self.count += lines.len();
        lines
    }

    fn done(&mut self, number: usize, translation: Result<Translation>) {
        self.feed.done(number, translation);
    }
}

/// The lines that search is at, and those that wait for it.
struct UnderWay<'a, S> {
    translator: &'a Translator,
    search: &'a SearchConfig,
    /// A long line pads the others.
    limit: BatchLimit,
    supply: &'a mut S,
    waiting: VecDeque<Line>,
    /// By the number that search has for them, with what each has so far.
    lines: BTreeMap<usize, (Line, Hypothesis)>,
    /// Lines that search has begun.
    count: usize,
}

impl<S: Supply> UnderWay<'_, S> {
    /// The lines that have waited longest, as many as fit beside those under way.
    fn next(&mut self, room: usize) -> Vec<Line> {
        if self.waiting.len() < room {
            let more = self.supply.lines(room - self.waiting.len());
            self.waiting.extend(more);
        }
        let widths = self.lines.values().map(|(line, _)| line.width());
        let mut longest = widths.max().unwrap_or(0);
        let mut next = Vec::new();
        while let Some(line) = self.waiting.front() {
            longest = longest.max(line.width());
            if next.len() == room || !self.limit.fits(self.lines.len() + next.len() + 1, longest) {
                break;
            }
            next.extend(self.waiting.pop_front());
        }
        next
    }
}

impl<S: Supply> Lines for UnderWay<'_, S> {
    fn sources(&mut self, room: usize) -> Option<(Vec<Batch>, Vec<Request>)> {
        let (mut examples, mut requests, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        while requests.is_empty() {
            let next = self.next(room);
            if next.is_empty() {
                return None;
            }
            for line in next {
                let request = &line.request;
                match self
                    .translator
                    .request(request, &line.example.src, self.search)
                {
                    Ok(request) => requests.push(request),
                    Err(error) => {
                        self.supply.done(line.number, Err(error));
                        continue;
                    }
                }
                pairs.push(Pair::new(request.line.as_str(), ""));
                examples.push(line.example.clone());
                self.lines.insert(self.count, (line, Hypothesis::default()));
                self.count += 1;
            }
        }
        let all: Vec<usize> = (0..requests.len()).collect();
        let first = Batch::new(&examples, &all);
        let sources = self
            .translator
            .as_members_read(first, &all, |index| pairs[index].clone());
        Some((sources, requests))
    }

    fn found(&mut self, source: usize, found: Found) {
        let (line, _) = self.lines.remove(&source).expect("it was begun");
        let replace_unk = self.search.replace_unk;
        let text = &line.request.line;
        let translation = self.translator.translation(text, found, replace_unk);
        self.supply.done(line.number, Ok(translation));
    }
}

impl<S: Supply> Observer for UnderWay<'_, S> {
    fn goes_on(&mut self, source: usize) -> bool {
        let (line, _) = &self.lines[&source];
        self.supply.observer().goes_on(line.number)
    }

    fn token(&mut self, source: usize, found: FoundToken) {
        let (line, so_far) = self.lines.get_mut(&source).expect("it was begun");
        if !self.supply.observer().streams(line.number) {
            return;
        }
        let step = so_far.token_log_probs.len();
        if found.token != EOS {
            so_far.tokens.push(found.token);
        }
        so_far.token_log_probs.push(found.log_prob);
        let weights = found.weights.map(<[f32]>::to_vec);
        if let Some(weights) = &weights {
            let all = so_far.weights.get_or_insert_default();
            all.push(weights.clone());
        }
        let found_now = Found {
            hypotheses: vec![so_far.clone()],
            tree: None,
        };
        let (text, replace_unk) = (&line.request.line, self.search.replace_unk);
        let translation = self.translator.translation(text, found_now, replace_unk);
        for candidate in translation.candidates {
            let piece = FoundPiece {
                token: candidate.tokens[step].clone(),
                log_prob: found.log_prob,
                weights: weights.clone(),
                text: candidate.text,
            };
            self.supply.observer().piece(line.number, piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translator::test_support::*;

    /// Brings one line at a time, after so many questions each.
    struct Slowly {
        lines: Vec<TranslationRequest>,
        questions: usize,
        every: usize,
        come: usize,
        done: BTreeMap<usize, Result<Translation>>,
        /// The greatest number of lines at a time.
        most: usize,
    }

    impl TranslationObserver for Slowly {}

    impl TranslationFeed for Slowly {
        fn requests(&mut self, room: usize) -> Vec<TranslationRequest> {
            assert!(room > 0);
            self.questions += 1;
            let under_way = self.come - self.done.len();
            // Where nothing is under way nobody asks again.
            let now = self.questions.is_multiple_of(self.every) || under_way == 0;
            let next = now.then(|| self.lines.get(self.come).cloned()).flatten();
            self.come += next.iter().len();
            self.most = self.most.max(self.come - self.done.len());
            next.into_iter().collect()
        }

        fn done(&mut self, request: usize, translation: Result<Translation>) {
            let other = self.done.insert(request, translation);
            assert!(other.is_none(), "a line is done once");
        }
    }

    #[test]
    fn a_line_joins_those_under_way_and_changes_nothing() {
        let lines = ["abcd", "", "ab", "dcbadcba", "c", "abcd", "dd", "bacd", "a"];
        for (encoder, decoder) in [
            ("kind = 'recurrent'", LUONG),
            ("kind = 'recurrent'", COPYING),
            ("kind = 'pyramidal', layers = 2", LUONG),
            ("kind = 'recurrent'", "kind = 'summary', d_output = 5"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let translator = translator_of(folder.path(), encoder, decoder);
            let expected = translator.translate(&lines, &search()).unwrap();
            for (places, every) in [(1, 1), (3, 1), (3, 2), (9, 3)] {
                let mut feed = Slowly {
                    lines: lines.map(TranslationRequest::new).to_vec(),
                    questions: 0,
                    every,
                    come: 0,
                    done: BTreeMap::new(),
                    most: 0,
                };
                // What can't be done is an answer too, also where nothing else is under way.
                for at in [0, 5] {
                    let mut refused = TranslationRequest::new("ab");
                    refused.constraints = vec![String::new()];
                    feed.lines.insert(at, refused);
                }
                translator
                    .translate_feed(places, &search(), &mut feed)
                    .unwrap();
                assert!(feed.most <= places && (places == 1 || feed.most > 1));
                for at in [5, 0] {
                    let refused = feed.done.remove(&at).unwrap().unwrap_err();
                    assert!(refused.to_string().contains("constraints"), "{refused}");
                }
                let found: Result<Vec<_>> = feed.done.into_values().collect();
                assert_same(&found.unwrap(), &expected);
            }
        }
    }

    #[test]
    fn a_long_line_leaves_room_for_few() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), LUONG);
        let long = "abcd".repeat(1500);
        let mut feed = Slowly {
            lines: [&long, "a", "b", "c"].map(TranslationRequest::new).to_vec(),
            questions: 0,
            every: 1,
            come: 0,
            done: BTreeMap::new(),
            most: 0,
        };
        let mut batches = UnderWay {
            translator: &translator,
            search: &search(),
            limit: BatchLimit::of_rows(4),
            supply: &mut Counted {
                translator: &translator,
                feed: &mut feed,
                count: 0,
            },
            waiting: VecDeque::new(),
            lines: BTreeMap::new(),
            count: 0,
        };
        // Of 6,001 ids each, two fit.
        let mut come = || batches.sources(4).map(|(_, requests)| requests.len());
        assert_eq!([come(), come(), come()], [Some(1), Some(1), None]);
    }
}
