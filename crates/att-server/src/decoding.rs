//! The threads that decode.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use att_core::{is_cpu, on_kernel_threads, on_one_kernel_thread};
use att_model::{
    FoundPiece, Translation, TranslationFeed, TranslationObserver, TranslationRequest,
};
use burn::tensor::Device;

use crate::config::ServerConfig;
use crate::metrics::{DecodedLine, Metrics};
use crate::queue::{Event, Line, Queue, Ticket};
use crate::{Error, Result};

/// Threads that decode what waits in a queue until that is closed and empty; dropping them closes it and
/// waits for them.
pub(crate) struct Decoding {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Decoding {
    /// On a CPU each of the threads decodes lines of its own, whose kernels share their work with no
    /// other; on a GPU one thread is enough unless told.
    pub(crate) fn start(
        queue: &Arc<Queue>,
        metrics: &Arc<Metrics>,
        device: &Device,
        config: &ServerConfig,
    ) -> Result<Self> {
        let on_cpu = is_cpu(device);
        let room = Room {
            batch_size: config.batch_size,
            lines_join: config.continuous_batching.unwrap_or(!on_cpu),
        };
        let cores = if on_cpu {
            rayon::current_num_threads()
        } else {
            1
        };
        let mut decoding = Self {
            queue: queue.clone(),
            threads: Vec::new(),
        };
        for number in 0..config.threads.unwrap_or(cores) {
            let (queue, metrics) = (queue.clone(), metrics.clone());
            let run = move || {
                while let Some(first) = queue.take(room.batch_size) {
                    decode(first, &queue, &metrics, room);
                }
            };
            let named = thread::Builder::new().name(format!("decode-{number}"));
            let thread = named.spawn(move || {
                if on_cpu {
                    on_one_kernel_thread(run);
                } else {
                    on_kernel_threads(run);
                }
            });
            decoding.threads.push(thread.map_err(Error::Thread)?);
        }
        Ok(decoding)
    }

    pub(crate) fn n_threads(&self) -> usize {
        self.threads.len()
    }
}

impl Drop for Decoding {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // it catches what panics
        }
    }
}

/// For which lines there is room.
#[derive(Clone, Copy)]
struct Room {
    batch_size: usize,
    /// Whether a place that is free again is for the next line.
    lines_join: bool,
}

/// Translates lines that go together, and those that join them, and tells each who asked for it.
fn decode(first: Vec<Line>, queue: &Queue, metrics: &Metrics, room: Room) {
    let (ticket, tokens) = (first[0].ticket.clone(), first[0].tokens);
    let mut running = Running {
        ticket: &ticket,
        tokens,
        queue: room.lines_join.then_some(queue),
        metrics,
        first,
        begun: BTreeMap::new(),
        count: 0,
        counted: Instant::now(),
    };
    // A bug must cost no more than the answers to these lines.
    let result = catch_unwind(AssertUnwindSafe(|| running.decode(room.batch_size)));
    let name = &ticket.model.name;
    match result {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(model = %name, %error, "decoding failed"),
        Err(_) => {
            // The panic has told where it was.
            let lines = running.begun.len();
            tracing::error!(model = %name, lines, "decoding panicked");
        }
    }
    running.fail_all();
}

/// Lines that are being decoded, by their numbers.
struct Running<'a> {
    /// What all lines have in common is that of this.
    ticket: &'a Ticket,
    /// Of the first line; the others have about as many.
    tokens: usize,
    /// Where lines that join them come from.
    queue: Option<&'a Queue>,
    metrics: &'a Metrics,
    /// Lines to begin with.
    first: Vec<Line>,
    /// And since when.
    begun: BTreeMap<usize, (Line, Instant)>,
    /// How many lines have come.
    count: usize,
    /// Until when the thread's time is counted.
    counted: Instant,
}

impl Running<'_> {
    fn decode(&mut self, batch_size: usize) -> att_model::Result<()> {
        let (translator, search) = (&self.ticket.model.translator, &self.ticket.search);
        let Some(request) = &self.ticket.explains else {
            let places = self.ticket.places(batch_size);
            return translator.translate_feed(places, search, self);
        };
        self.requests(1); // it is alone
        let answer = request.answer(translator, search, self)?;
        self.end(0, Event::Explained(Box::new(answer)));
        Ok(())
    }

    /// Tells what became of a line.
    fn end(&mut self, number: usize, event: Event) {
        let (together, now) = (self.begun.len(), Instant::now());
        let Some((line, since)) = self.begun.remove(&number) else {
            return;
        };
        let decoded = DecodedLine {
            together,
            took: now - since,
            busy: now - self.counted,
        };
        self.counted = now;
        self.metrics.decoded(&line.ticket.model.name, decoded);
        line.ticket.tell(event);
    }

    fn fail_all(mut self) {
        for line in std::mem::take(&mut self.first) {
            line.ticket.tell(Event::Failed);
        }
        while let Some(&number) = self.begun.keys().next() {
            self.end(number, Event::Failed);
        }
    }
}

impl TranslationFeed for Running<'_> {
    fn requests(&mut self, room: usize) -> Vec<TranslationRequest> {
        let lines = match std::mem::take(&mut self.first) {
            first if !first.is_empty() => first,
            _ => self.queue.map_or(Vec::new(), |queue| {
                queue.more(self.ticket, self.tokens, room)
            }),
        };
        let now = Instant::now();
        let begin = |line: Line| {
            self.metrics.waited(now - line.ticket.since);
            let request = line.request.clone();
            self.begun.insert(self.count, (line, now));
            self.count += 1;
            request
        };
        lines.into_iter().map(begin).collect()
    }

    fn done(&mut self, number: usize, translation: att_model::Result<Translation>) {
        let event = match translation {
            Ok(translation) => Event::Done {
                index: self.begun[&number].0.index,
                translation,
            },
            Err(error) => {
                tracing::error!(model = %self.ticket.model.name, %error, "decoding failed");
                Event::Failed
            }
        };
        self.end(number, event);
    }
}

impl TranslationObserver for Running<'_> {
    fn goes_on(&mut self, line: usize) -> bool {
        !self.begun[&line].0.ticket.is_cancelled()
    }

    fn streams(&self, line: usize) -> bool {
        self.begun[&line].0.ticket.streams
    }

    fn piece(&mut self, line: usize, piece: FoundPiece) {
        self.begun[&line].0.ticket.tell(Event::Piece(piece));
    }
}
