//! How a training run shows itself: a bar on a terminal, one line a report elsewhere.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use att_train::{Event, Observer};
use indicatif::{ProgressBar, ProgressStyle};

/// Writes to the standard error, and ends the run in good order at the first interrupt.
pub struct Progress {
    bar: Option<ProgressBar>,
    interrupted: Arc<AtomicBool>,
}

impl Progress {
    /// From now on the first interrupt (Ctrl-C or SIGTERM) ends the run in good order, the second
    /// at once.
    pub fn new() -> Result<Self, ctrlc::Error> {
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = interrupted.clone();
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(i32::from(crate::INTERRUPTED));
            }
            eprintln!("\ninterrupted: saving; once more to leave at once");
        })?;
        Ok(Self {
            bar: None,
            interrupted,
        })
    }

    /// A line that stays.
    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }
}

impl Observer for Progress {
    fn observe(&mut self, event: &Event) -> ControlFlow<()> {
        match event {
            Event::Start {
                parameters,
                examples,
                left_out,
                src_vocab,
                tgt_vocab,
                total_steps,
            } => {
                self.line(&format!(
                    "training {parameters} weights on {examples} examples ({left_out} too long) \
                     for up to {total_steps} steps; {src_vocab} source and {tgt_vocab} target tokens"
                ));
                if std::io::stderr().is_terminal() {
                    let style = ProgressStyle::with_template("step {pos}/{len} {bar:20} {msg}")
                        .expect("a constant template");
                    self.bar = Some(ProgressBar::new(*total_steps as u64).with_style(style));
                }
            }
            Event::Step(step) => {
                let figures = format!(
                    "epoch {}  loss {:.3}  ppl {:.2}  lr {:.1e}  |g| {:.2}  {:.0} src + {:.0} tgt tokens/s  {} left",
                    step.epoch,
                    step.loss,
                    step.ppl,
                    step.lr,
                    step.grad_norm,
                    step.src_tokens_per_s,
                    step.tgt_tokens_per_s,
                    duration(step.left_s),
                );
                match &self.bar {
                    Some(bar) => {
                        bar.set_position(step.step as u64);
                        bar.set_message(figures);
                    }
                    None => eprintln!("step {}/{}  {figures}", step.step, step.total_steps),
                }
            }
            Event::Validation(found) => {
                let [source, output, reference] = &found.sample;
                self.line(&format!(
                    "valid at step {}  loss {:.3}  ppl {:.2}  {} {:.2}{}  {}\n      {source} -> {output}  (gold: {reference})",
                    found.step,
                    found.loss,
                    found.ppl,
                    found.metric,
                    found.score,
                    if found.best { " (best so far, saved)" } else { "" },
                    duration(found.elapsed_s),
                ));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn poll(&mut self) -> ControlFlow<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Seconds as `1:02:03` or `2:03`.
pub fn duration(seconds: f64) -> String {
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
    use super::duration;

    #[test]
    fn durations_read_as_clocks() {
        assert_eq!(duration(59.6), "1:00");
        assert_eq!(duration(3723.0), "1:02:03");
    }
}
