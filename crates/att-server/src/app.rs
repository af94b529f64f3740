//! What all routes share: from what a request asks for to its translations.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use att_decoder::search::{SearchChanges, SearchConfig};
use att_model::{Translation, TranslationRequest};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use crate::ServerConfig;
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::queue::{Event, Line, Queue, Refused, Ticket};
use crate::store::{Loaded, ModelStore};

/// The state of a server.
pub(crate) struct App {
    pub(crate) config: ServerConfig,
    pub(crate) store: Arc<ModelStore>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) metrics: Arc<Metrics>,
    /// How many threads decode.
    pub(crate) threads: usize,
    /// Whether it has been told to stop.
    pub(crate) stopping: AtomicBool,
}

/// What a request asks for, whatever API it came by.
#[derive(Default)]
pub(crate) struct Ask {
    /// The place of the model in the store.
    pub(crate) model: usize,
    /// The texts with their prefixes and phrases.
    pub(crate) lines: Vec<TranslationRequest>,
    pub(crate) changes: SearchChanges,
    /// Whether tokens are wanted as they are found.
    pub(crate) streams: bool,
    /// Whether attention weights or alignments are wanted.
    pub(crate) attention: bool,
    /// What is to be explained of the only line.
    pub(crate) explains: Option<att_studio::Request>,
}

/// Translations, and the model that they are from.
pub(crate) struct Answer {
    pub(crate) model: Arc<Loaded>,
    pub(crate) search: SearchConfig,
    /// One a line, in their order. Nothing is translated of a blank line: it has no candidates.
    pub(crate) translations: Vec<Translation>,
    /// In their place, where that was asked for.
    pub(crate) explained: att_studio::Answer,
}

impl App {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Translates what is asked for, in the time that a request has.
    pub(crate) async fn translate(&self, ask: Ask) -> Result<Answer, Failure> {
        let mut pending = self.submit(ask).await?;
        loop {
            if let Step::Answer(answer) = pending.next().await? {
                return Ok(answer);
            }
        }
    }

    /// Puts what is asked for into the queue.
    pub(crate) async fn submit(&self, ask: Ask) -> Result<Pending, Failure> {
        let deadline = Instant::now() + self.config.request_timeout;
        self.check_size(&ask)?;
        let model = tokio::time::timeout_at(deadline, self.store.get(ask.model));
        let model = model.await.map_err(|_| self.timed_out())??;
        let (search, tokens) = self.check_search(&ask, &model)?;
        let (events, receiver) = unbounded_channel();
        let ticket = Ticket::new(model, search, ask.streams, ask.explains, events);
        let ticket = Arc::new(ticket);
        let mut translations = vec![None; ask.lines.len()];
        let mut lines = Vec::with_capacity(ask.lines.len());
        for (index, (request, tokens)) in ask.lines.into_iter().zip(tokens).enumerate() {
            if request.line.trim().is_empty() {
                translations[index] = Some(Translation::default());
                continue;
            }
            let ticket = ticket.clone();
            lines.push(Line {
                ticket,
                index,
                tokens,
                request,
            });
        }
        self.queue.push(lines).map_err(|refused| match refused {
            Refused::Full => Failure::queue_full(self.seconds_to_wait()),
            Refused::Closed => Failure::unavailable("stopping", "the server stops"),
        })?;
        self.metrics.accepted();
        Ok(Pending {
            ticket,
            receiver,
            translations,
            explained: att_studio::Answer::default(),
            deadline,
            timeout: self.timed_out(),
            queue: self.queue.clone(),
            metrics: self.metrics.clone(),
            answered: false,
        })
    }

    /// Checks what can be checked without the model.
    fn check_size(&self, ask: &Ask) -> Result<(), Failure> {
        let limits = &self.config.limits;
        let SearchChanges {
            beam_size,
            n_best,
            min_len,
            max_len,
            ..
        } = ask.changes;
        let chars_of = |text: &String| text.chars().count();
        let chars = ask.lines.iter().map(|line| {
            let others = line.constraints.iter().chain(&line.pinned).map(chars_of);
            chars_of(&line.line) + chars_of(&line.prefix) + others.sum::<usize>()
        });
        let of_lines = |len: fn(&TranslationRequest) -> usize| ask.lines.iter().map(len).max();
        let pinned = of_lines(|line| line.pinned.len());
        let edits = of_lines(|line| line.edits.len());
        if ask.lines.is_empty() {
            return Err(Failure::bad_request("there is no text: give one at least"));
        }
        for (field, found, what, most) in [
            ("text", ask.lines.len(), "texts", limits.texts),
            (
                "text",
                chars.sum(),
                "characters (with prefixes and phrases)",
                limits.chars,
            ),
            (
                "beam_size",
                beam_size.unwrap_or(0),
                "hypotheses",
                limits.beam_size,
            ),
            (
                "n_best",
                n_best.unwrap_or(0),
                "hypotheses",
                limits.beam_size,
            ),
            ("pinned", pinned.unwrap_or(0), "tokens", limits.max_len),
            ("edits", edits.unwrap_or(0), "steps", limits.max_len),
            ("min_len", min_len.unwrap_or(0), "tokens", limits.max_len),
            ("max_len", max_len.unwrap_or(0), "tokens", limits.max_len),
        ] {
            if found > most {
                return Err(Failure::too_large(field, found, what, most));
            }
        }
        Ok(())
    }

    /// How the model is to search, if it can give what is asked for, and how many tokens it reads of each line.
    fn check_search(
        &self,
        ask: &Ask,
        model: &Loaded,
    ) -> Result<(SearchConfig, Vec<usize>), Failure> {
        let directory = model.translator.directory();
        let own = &directory.search;
        let search = match &ask.explains {
            Some(request) => request.search_of(own),
            None => ask.changes.apply(own),
        };
        if ask.attention && !directory.model.decoder.has_attention() {
            let message = format!("attention: model '{}' has none", model.name);
            return Err(Failure::bad_request(message));
        }
        if ask.streams && !search.has_one_hypothesis() {
            return Err(Failure::bad_request(
                "stream: the tokens of a beam may change until it ends; add \"beam_size\": 1",
            ));
        }
        let mut all_tokens = Vec::with_capacity(ask.lines.len());
        for line in &ask.lines {
            let tokens = match &ask.explains {
                Some(request) => request.check(&model.translator, &search),
                None => model.translator.check(line, &search),
            };
            let tokens = tokens.map_err(Failure::bad_request)?;
            let most = self.config.limits.tokens;
            if tokens > most {
                return Err(Failure::too_large("text", tokens, "tokens", most));
            }
            all_tokens.push(tokens);
        }
        Ok((search, all_tokens))
    }

    /// About how many seconds the lines that wait now will take.
    fn seconds_to_wait(&self) -> u64 {
        let of_line = self.metrics.seconds_per_line().unwrap_or_default();
        let seconds = of_line * self.queue.len() as f64 / self.threads as f64;
        (seconds.ceil() as u64).clamp(1, 60)
    }

    fn timed_out(&self) -> Failure {
        Failure::timeout(self.config.request_timeout.as_secs_f64())
    }
}

/// What [`Pending::next`] gives.
pub(crate) enum Step {
    /// A token.
    Piece(att_model::FoundPiece),
    /// All is done.
    Answer(Answer),
}

/// Lines that wait or are being decoded. Who drops it does not want them any more.
pub(crate) struct Pending {
    ticket: Arc<Ticket>,
    receiver: UnboundedReceiver<Event>,
    translations: Vec<Option<Translation>>,
    explained: att_studio::Answer,
    deadline: Instant,
    timeout: Failure,
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    answered: bool,
}

impl Pending {
    /// What comes next. Nothing comes behind an answer or a failure.
    pub(crate) async fn next(&mut self) -> Result<Step, Failure> {
        while self.translations.iter().any(Option::is_none) {
            let event = tokio::time::timeout_at(self.deadline, self.receiver.recv());
            match event.await.map_err(|_| self.timeout.clone())? {
                Some(Event::Piece(piece)) => return Ok(Step::Piece(piece)),
                Some(Event::Done { index, translation }) => {
                    self.translations[index] = Some(translation);
                }
                Some(Event::Explained(answer)) => {
                    self.explained = *answer;
                    self.translations.clear();
                }
                Some(Event::Failed) | None => return Err(Failure::internal()),
            }
        }
        self.answered = true;
        self.metrics.answered();
        let translations = std::mem::take(&mut self.translations);
        Ok(Step::Answer(Answer {
            model: self.ticket.model.clone(),
            search: self.ticket.search.clone(),
            translations: translations.into_iter().flatten().collect(),
            explained: std::mem::take(&mut self.explained),
        }))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.answered {
            self.queue.cancel(&self.ticket);
            self.metrics.cancelled();
        }
    }
}
