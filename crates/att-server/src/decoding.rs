//! The threads that decode.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use att_core::{is_cpu, on_kernel_threads, on_one_kernel_thread};
use att_model::{FoundPiece, TranslationObserver, TranslationRequest};
use burn::tensor::Device;

use crate::metrics::Metrics;
use crate::queue::{Event, Line, Queue};
use crate::{Error, Result};

/// Threads that decode what waits in a queue until that is closed and empty; dropping them closes it and
/// waits for them.
pub(crate) struct Decoding {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Decoding {
    /// On a CPU each of the threads decodes a batch of its own, whose kernels share their work with no
    /// other; on a GPU one after the other is enough unless told.
    pub(crate) fn start(
        queue: &Arc<Queue>,
        metrics: &Arc<Metrics>,
        device: &Device,
        threads: Option<usize>,
        batch_size: usize,
    ) -> Result<Self> {
        let on_cpu = is_cpu(device);
        let cores = if on_cpu {
            rayon::current_num_threads()
        } else {
            1
        };
        let mut decoding = Self {
            queue: queue.clone(),
            threads: Vec::new(),
        };
        for number in 0..threads.unwrap_or(cores) {
            let (queue, metrics) = (queue.clone(), metrics.clone());
            let run = move || {
                while let Some(batch) = queue.take(batch_size) {
                    decode(&batch, &metrics);
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

/// Translates lines that go together, and tells each who asked for it.
fn decode(batch: &[Line], metrics: &Metrics) {
    let ticket = &batch[0].ticket;
    let translator = &ticket.model.translator;
    let requests: Vec<TranslationRequest> = batch.iter().map(|line| line.request.clone()).collect();
    let begun = Instant::now();
    for line in batch {
        metrics.waited(begun - line.ticket.since);
    }
    let events = || -> att_model::Result<Vec<Event>> {
        let (search, lines) = (&ticket.search, &mut Lines(batch));
        if let Some(request) = &ticket.explains {
            let answer = request.answer(translator, search, lines)?;
            return Ok(vec![Event::Explained(Box::new(answer))]);
        }
        let translations = translator.translate_observed(&requests, search, lines)?;
        let done = |(line, translation): (&Line, _)| Event::Done {
            index: line.index,
            translation,
        };
        Ok(batch.iter().zip(translations).map(done).collect())
    };
    // A bug must cost no more than the answers to these lines.
    let found = catch_unwind(AssertUnwindSafe(events));
    let name = &ticket.model.name;
    metrics.decoded(name, batch.len(), begun.elapsed());
    match found {
        Ok(Ok(events)) => {
            for (line, event) in batch.iter().zip(events) {
                line.ticket.tell(event);
            }
            return;
        }
        Ok(Err(error)) => tracing::error!(model = %name, %error, "decoding failed"),
        // The panic has told where it was.
        Err(_) => tracing::error!(model = %name, lines = batch.len(), "decoding panicked"),
    }
    for line in batch {
        line.ticket.tell(Event::Failed);
    }
}

/// Lines that are being decoded.
struct Lines<'a>(&'a [Line]);

impl TranslationObserver for Lines<'_> {
    fn goes_on(&mut self, line: usize) -> bool {
        !self.0[line].ticket.is_cancelled()
    }

    fn streams(&self, line: usize) -> bool {
        self.0[line].ticket.streams
    }

    fn piece(&mut self, line: usize, piece: FoundPiece) {
        self.0[line].ticket.tell(Event::Piece(piece));
    }
}
