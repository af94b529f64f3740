//! Lines that wait to be decoded.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use att_decoder::search::SearchConfig;
use att_model::{FoundPiece, Translation, TranslationRequest};
use tokio::sync::mpsc::UnboundedSender;

use crate::store::Loaded;

/// The greatest number of hypotheses that are decoded side by side, unless those of a single line are more:
/// as many as 64 lines have with the default beam of five.
const MAX_HYPOTHESES: usize = 320;

/// Tokens that a line may have more than twice those of another that it is decoded with.
const LIKE: usize = 16;

/// What the lines of a request have in common.
pub(crate) struct Ticket {
    pub(crate) model: Arc<Loaded>,
    pub(crate) search: SearchConfig,
    /// Whether tokens are told as they are found.
    pub(crate) streams: bool,
    /// What is to be explained of its one line, if that is what it asks for.
    pub(crate) explains: Option<att_studio::Request>,
    /// Since when its lines wait.
    pub(crate) since: Instant,
    /// Nobody waits for it any more.
    cancelled: AtomicBool,
    events: UnboundedSender<Event>,
}

/// What becomes of a line.
pub(crate) enum Event {
    /// It has another token.
    Piece(FoundPiece),
    /// It is done.
    Done {
        /// Its place in the request.
        index: usize,
        translation: Translation,
    },
    /// It is done, and explained.
    Explained(Box<att_studio::Answer>),
    /// Its decoding has failed.
    Failed,
}

impl Ticket {
    pub(crate) fn new(
        model: Arc<Loaded>,
        search: SearchConfig,
        streams: bool,
        explains: Option<att_studio::Request>,
        events: UnboundedSender<Event>,
    ) -> Self {
        Self {
            model,
            search,
            streams,
            explains,
            since: Instant::now(),
            cancelled: AtomicBool::new(false),
            events,
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Tells whoever waits, if anybody does.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Whether lines of both may be decoded together: they have one model and are searched alike. What else
    /// a line asks for (a prefix, phrases, its tokens as they are found) is its own. What is explained is
    /// decoded alone.
    fn goes_with(&self, other: &Self) -> bool {
        let plain = self.explains.is_none() && other.explains.is_none();
        plain && Arc::ptr_eq(&self.model, &other.model) && self.search == other.search
    }

    /// How many lines may be decoded together, of the `batch_size` that the server has.
    pub(crate) fn places(&self, batch_size: usize) -> usize {
        let width = self.search.beam_size.max(self.search.n_best);
        (MAX_HYPOTHESES / width).clamp(1, batch_size)
    }
}

/// A line to be decoded.
pub(crate) struct Line {
    pub(crate) ticket: Arc<Ticket>,
    /// Its place in the request.
    pub(crate) index: usize,
    /// How many source tokens it has.
    pub(crate) tokens: usize,
    pub(crate) request: TranslationRequest,
}

impl Line {
    /// Whether it may be decoded with a line of `ticket` that has so many tokens, and is of like length: a long
    /// line among short ones makes them all take its room in memory.
    fn goes_with(&self, ticket: &Ticket, tokens: usize) -> bool {
        let (short, long) = (self.tokens.min(tokens), self.tokens.max(tokens));
        long <= 2 * short + LIKE && self.ticket.goes_with(ticket)
    }
}

/// Why lines can't wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too many do.
    Full,
    /// The server stops.
    Closed,
}

/// A bounded queue of lines, first come, first served.
pub(crate) struct Queue {
    limit: usize,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Line>,
    closed: bool,
    /// Threads that wait for lines.
    idle: usize,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            waiting: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// All lines or none.
    pub(crate) fn push(&self, lines: Vec<Line>) -> Result<(), Refused> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(Refused::Closed);
        }
        if waiting.lines.len() + lines.len() > self.limit {
            return Err(Refused::Full);
        }
        waiting.lines.extend(lines);
        drop(waiting);
        self.changed.notify_all();
        Ok(())
    }

    /// The line that has waited longest, with those behind it that may be decoded with it, as many as have
    /// [`places`](Ticket::places). Waits for one; none when the queue is closed and empty.
    ///
    /// Nothing waits for company: what comes while all threads decode is what meets.
    pub(crate) fn take(&self, batch_size: usize) -> Option<Vec<Line>> {
        let mut waiting = self.lock();
        loop {
            if let Some(first) = waiting.lines.pop_front() {
                let most = first.ticket.places(batch_size);
                let mut batch = vec![first];
                let mut behind = VecDeque::with_capacity(waiting.lines.len());
                for line in waiting.lines.drain(..) {
                    let first = &batch[0];
                    if batch.len() < most && line.goes_with(&first.ticket, first.tokens) {
                        batch.push(line);
                    } else {
                        behind.push_back(line);
                    }
                }
                waiting.lines = behind;
                return Some(batch);
            }
            if waiting.closed {
                return None;
            }
            waiting.idle += 1;
            let woken = self.changed.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
        }
    }

    /// Lines for places that have become free beside lines of `ticket` with about so many tokens, `room` of them
    /// at most. None if a line that can't be decoded with them has waited longer, or another thread has nothing
    /// to do.
    pub(crate) fn more(&self, ticket: &Ticket, tokens: usize, room: usize) -> Vec<Line> {
        let mut waiting = self.lock();
        if waiting.idle > 0 {
            return Vec::new();
        }
        let lines = waiting.lines.iter().take(room);
        let fitting = lines.take_while(|line| line.goes_with(ticket, tokens));
        let n = fitting.count();
        waiting.lines.drain(..n).collect()
    }

    /// Takes the lines of a request out, and has those that are being decoded end.
    pub(crate) fn cancel(&self, ticket: &Arc<Ticket>) {
        ticket.cancelled.store(true, Ordering::Relaxed);
        let mut waiting = self.lock();
        waiting
            .lines
            .retain(|line| !Arc::ptr_eq(&line.ticket, ticket));
    }

    /// Nothing comes in any more; what is in is decoded.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// How many lines wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().lines.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::loaded;
    use tokio::sync::mpsc::unbounded_channel;

    fn ticket(model: &Arc<Loaded>, beam_size: usize) -> Arc<Ticket> {
        let search = SearchConfig {
            beam_size,
            ..Default::default()
        };
        let (events, _) = unbounded_channel();
        Arc::new(Ticket::new(model.clone(), search, false, None, events))
    }

    fn lines(ticket: &Arc<Ticket>, texts: &[&str]) -> Vec<Line> {
        let line = |(index, text): (usize, &&str)| Line {
            ticket: ticket.clone(),
            index,
            tokens: text.len(),
            request: TranslationRequest::new(*text),
        };
        texts.iter().enumerate().map(line).collect()
    }

    fn texts(batch: Option<Vec<Line>>) -> Vec<String> {
        let lines = batch.unwrap_or_default().into_iter();
        lines.map(|line| line.request.line).collect()
    }

    #[test]
    fn lines_that_go_together_are_taken_together_the_oldest_first() {
        let (_folder, model) = loaded();
        let (_other_folder, other) = loaded();
        let queue = Queue::new(10);
        queue.push(lines(&ticket(&model, 2), &["a", "b"])).unwrap();
        queue.push(lines(&ticket(&other, 2), &["c"])).unwrap();
        queue.push(lines(&ticket(&model, 3), &["d"])).unwrap();
        queue.push(lines(&ticket(&model, 2), &["e", "f"])).unwrap();
        assert_eq!(queue.len(), 6);
        assert_eq!(texts(queue.take(3)), ["a", "b", "e"]);
        assert_eq!(texts(queue.take(3)), ["c"]);
        assert_eq!(texts(queue.take(3)), ["d"]);
        assert_eq!(texts(queue.take(3)), ["f"]);
        // Of like length: at most twice as long and 16 tokens more.
        let [long, longer] = ["x".repeat(18), "x".repeat(19)];
        let texts_of = [&longer, "h", &long].map(|text: &str| text);
        queue.push(lines(&ticket(&model, 2), &texts_of)).unwrap();
        assert_eq!(texts(queue.take(3)), [longer.as_str(), long.as_str()]);
        assert_eq!(texts(queue.take(3)), ["h"]);
        // A wide beam takes as much room as several lines.
        let wide = ticket(&model, 200);
        queue.push(lines(&wide, &["g", "h"])).unwrap();
        assert_eq!(texts(queue.take(8)), ["g"]);
        queue.close();
        assert_eq!(texts(queue.take(8)), ["h"], "what is in is decoded");
        assert!(queue.take(8).is_none());
        assert_eq!(queue.push(lines(&wide, &["i"])), Err(Refused::Closed));
    }

    #[test]
    fn lines_join_those_of_their_kind_unless_another_has_waited_longer() {
        let (_folder, model) = loaded();
        let queue = Queue::new(10);
        let [narrow, wide] = [2, 3].map(|beam_size| ticket(&model, beam_size));
        let more = |ticket: &Ticket, room| texts(Some(queue.more(ticket, 1, room)));
        queue.push(lines(&narrow, &["a", "b", "c"])).unwrap();
        queue.push(lines(&wide, &["d"])).unwrap();
        queue.push(lines(&narrow, &["e"])).unwrap();
        assert_eq!(more(&narrow, 2), ["a", "b"]);
        assert!(more(&wide, 2).is_empty());
        assert_eq!(more(&narrow, 9), ["c"]);
        assert!(more(&narrow, 9).is_empty());
        assert_eq!(texts(queue.take(9)), ["d"]);
        assert_eq!(more(&narrow, 9), ["e"]);
    }

    #[test]
    fn a_request_fits_whole_or_not_at_all() {
        let (_folder, model) = loaded();
        let queue = Queue::new(3);
        let ticket = ticket(&model, 1);
        queue.push(lines(&ticket, &["a", "b"])).unwrap();
        assert_eq!(queue.push(lines(&ticket, &["c", "d"])), Err(Refused::Full));
        assert_eq!(queue.len(), 2);
        queue.push(lines(&ticket, &["c"])).unwrap();
    }

    #[test]
    fn a_cancelled_request_is_taken_out() {
        let (_folder, model) = loaded();
        let queue = Queue::new(9);
        let [gone, stays] = [ticket(&model, 1), ticket(&model, 1)];
        queue.push(lines(&gone, &["a"])).unwrap();
        queue.push(lines(&stays, &["b"])).unwrap();
        queue.push(lines(&gone, &["c"])).unwrap();
        queue.cancel(&gone);
        assert!(gone.is_cancelled() && !stays.is_cancelled());
        assert_eq!(queue.len(), 1);
        assert_eq!(texts(queue.take(9)), ["b"]);
    }
}
