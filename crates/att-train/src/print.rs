//! Events as people read them.

use std::fmt;
use std::ops::ControlFlow;

use crate::{
    BatchSize, DataEvent, Event, Observer, SkippedEvent, StepEvent, Summary, ValidationEvent,
    VocabularyEvent,
};

/// An [`Observer`] that prints each event to the standard output.
#[derive(Clone, Copy, Debug, Default)]
pub struct PrintEvents;

impl Observer for PrintEvents {
    fn observe(&mut self, event: &Event) -> ControlFlow<()> {
        println!("{event}");
        ControlFlow::Continue(())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(data) => data.fmt(f),
            Self::Start {
                parameters,
                examples,
                left_out,
                src_vocab,
                tgt_vocab,
                total_steps,
                ..
            } => write!(
                f,
                "training {parameters} weights on {examples} examples ({left_out} too long) for \
                 up to {total_steps} steps; {src_vocab} source and {tgt_vocab} target tokens"
            ),
            Self::Resume {
                step,
                total_steps,
                damaged,
                elapsed_s,
            } => {
                for damaged in damaged {
                    writeln!(f, "warning: {damaged}; the one before is taken")?;
                }
                let elapsed = clock(*elapsed_s);
                write!(
                    f,
                    "going on after step {step}/{total_steps}, which took {elapsed}"
                )
            }
            Self::Vocabulary(found) => found.fmt(f),
            Self::Warning { text } => write!(f, "warning: {text}"),
            Self::Skipped(step) => step.fmt(f),
            Self::Step(step) => write!(f, "step {}/{}  {step}", step.step, step.total_steps),
            Self::Validation(found) => found.fmt(f),
        }
    }
}

impl fmt::Display for VocabularyEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            side,
            kept,
            new,
            dropped,
        } = self;
        write!(
            f,
            "{side} vocabulary: {kept} tokens kept their weights, {new} are new, {dropped} were dropped"
        )
    }
}

impl fmt::Display for DataEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(damage) = self.cache.as_ref().and_then(|cache| cache.damage.as_ref()) {
            writeln!(f, "warning: {damage}; it is made again")?;
        }
        let pairs: Vec<String> = self.pairs.iter().map(usize::to_string).collect();
        write!(f, "data: {} pairs, {}", pairs.join(" + "), self.dropped)?;
        match &self.cache {
            None => Ok(()),
            Some(cache) => {
                let from = if cache.found { "from" } else { "kept in" };
                write!(f, "; tokens {from} {}", cache.path.display())
            }
        }
    }
}

impl fmt::Display for SkippedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "step {} skipped: {} (loss {:.3}, |g| {:.2}, lr {:.1e}), {} in a row",
            self.step,
            self.skipped.reason,
            self.loss,
            self.grad_norm,
            self.lr,
            self.skipped.in_a_row
        )
    }
}

/// The figures, without the number of the step.
impl fmt::Display for StepEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "epoch {}  loss {:.3}  ppl {:.2}  lr {:.1e}  |g| {:.2}{}  {:.0} src + {:.0} tgt tokens/s{}  {} left",
            self.epoch,
            self.loss,
            self.ppl,
            self.lr,
            self.grad_norm,
            match self.skipped {
                0 => String::new(),
                skipped => format!("  {skipped} skipped"),
            },
            self.src_tokens_per_s,
            self.tgt_tokens_per_s,
            match (1000.0 * self.waiting).round() {
                0.0 => String::new(),
                permille => format!("  {:.1}% waiting", permille / 10.0),
            },
            clock(self.left_s),
        )
    }
}

/// The scores, and an example of the output below them.
impl fmt::Display for ValidationEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [source, output, reference] = &self.sample;
        write!(
            f,
            "valid at step {}  loss {:.3}  ppl {:.2}  {} {:.2}{}  {}\n      {source} -> {output}  (gold: {reference})",
            self.step,
            self.loss,
            self.ppl,
            self.metric,
            self.score,
            if self.best {
                " (best so far, saved)"
            } else {
                ""
            },
            clock(self.elapsed_s),
        )
    }
}

/// Such as `batches of up to 4096 tokens: 1800 MB at most, of 2000`.
impl fmt::Display for BatchSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [peak, memory] = [self.peak, self.memory].map(|bytes| bytes / 1_000_000);
        write!(
            f,
            "batches of up to {} tokens: {peak} MB at most, of {memory}",
            self.tokens
        )
    }
}

/// Such as `800 steps in 1:05, 0.0% waiting for data, 180 MB of memory at most`.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} steps in {}", self.steps, clock(self.elapsed_s))?;
        if self.skipped > 0 {
            write!(f, ", {} of them skipped", self.skipped)?;
        }
        write!(f, ", {:.1}% waiting for data", 100.0 * self.waiting)?;
        match self.peak_rss_mb {
            None => Ok(()),
            Some(peak) => write!(f, ", {peak:.0} MB of memory at most"),
        }
    }
}

/// Seconds as `1:02:03` or `2:03`.
pub fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CacheUse;
    use att_data::Dropped;

    #[test]
    fn durations_read_as_clocks() {
        assert_eq!(clock(59.6), "1:00");
        assert_eq!(clock(3723.0), "1:02:03");
    }

    #[test]
    fn events_read_as_lines() {
        let step = Event::Step(StepEvent {
            step: 50,
            total_steps: 800,
            epoch: 1,
            loss: 2.5,
            ppl: 12.182,
            lr: 1e-3,
            grad_norm: 0.75,
            skipped: 0,
            src_tokens_per_s: 1000.4,
            tgt_tokens_per_s: 900.0,
            waiting: 0.0123,
            elapsed_s: 5.0,
            left_s: 75.0,
        });
        assert_eq!(
            step.to_string(),
            "step 50/800  epoch 1  loss 2.500  ppl 12.18  lr 1.0e-3  |g| 0.75  \
             1000 src + 900 tgt tokens/s  1.2% waiting  1:15 left"
        );
        let text = "training.precision: slow".into();
        let warning = Event::Warning { text };
        assert_eq!(warning.to_string(), "warning: training.precision: slow");
        let data = Event::Data(DataEvent {
            pairs: vec![1000, 20],
            dropped: Dropped::default(),
            cache: Some(CacheUse {
                path: "runs/tokens".into(),
                found: false,
                damage: Some("runs/tokens is damaged".into()),
            }),
        });
        assert_eq!(
            data.to_string(),
            "warning: runs/tokens is damaged; it is made again\n\
             data: 1000 + 20 pairs, none left out; tokens kept in runs/tokens"
        );
        let validation = Event::Validation(ValidationEvent {
            step: 100,
            loss: 1.0,
            ppl: 2.5,
            metric: "bleu".into(),
            score: 12.3456,
            best: true,
            sample: ["ab", "b", "b a"].map(String::from),
            samples: Vec::new(),
            elapsed_s: 9.0,
        });
        assert_eq!(
            validation.to_string(),
            "valid at step 100  loss 1.000  ppl 2.50  bleu 12.35 (best so far, saved)  0:09\n      \
             ab -> b  (gold: b a)"
        );
    }
}
