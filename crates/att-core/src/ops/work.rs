//! What the operations on CPU spend their time with.

use std::time::Duration;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Products,
    Attention,
    Cells,
    Loss,
    Optimizer,
}

/// Time of the threads, added up, by what they worked at in the CPU kernels of this crate. Zero where
/// others worked, such as a GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Matrix products, packing included.
    pub products: Duration,
    /// Scores, softmax and context, without their matrix products.
    pub attention: Duration,
    /// Gates of LSTMs and GRUs.
    pub cells: Duration,
    /// Softmax over the vocabulary, and the loss.
    pub loss: Duration,
    /// Norm of the gradients and Adam's step.
    pub optimizer: Duration,
}

impl Work {
    /// What the operations of this process work at while `run` runs, whoever calls them. Runs that are
    /// measured at the same time see each other's work.
    pub fn measure<T>(run: impl FnOnce() -> T) -> (T, Self) {
        #[cfg(feature = "cpu")]
        {
            let _watch = clock::Watch::new();
            let before = clock::read();
            let result = run();
            (result, clock::read().since(before))
        }
        #[cfg(not(feature = "cpu"))]
        (run(), Self::default())
    }

    /// All of it.
    pub fn total(&self) -> Duration {
        self.products + self.attention + self.cells + self.loss + self.optimizer
    }

    #[cfg(feature = "cpu")]
    fn since(self, before: Self) -> Self {
        Self {
            products: self.products - before.products,
            attention: self.attention - before.attention,
            cells: self.cells - before.cells,
            loss: self.loss - before.loss,
            optimizer: self.optimizer - before.optimizer,
        }
    }
}

#[cfg(feature = "cpu")]
pub(super) use clock::span;

#[cfg(feature = "cpu")]
mod clock {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::{Kind, Work};

    /// How many watch; a span costs next to nothing where nobody does.
    static WATCHES: AtomicUsize = AtomicUsize::new(0);
    /// Nanoseconds of each kind.
    static TIMES: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];

    thread_local! {
        /// Nanoseconds of the spans that have ended within the one that runs.
        static INNER: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) struct Watch;

    impl Watch {
        pub(super) fn new() -> Self {
            WATCHES.fetch_add(1, Ordering::Relaxed);
            Self
        }
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            WATCHES.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn read() -> Work {
        let time = |kind: Kind| Duration::from_nanos(TIMES[kind as usize].load(Ordering::Relaxed));
        Work {
            products: time(Kind::Products),
            attention: time(Kind::Attention),
            cells: time(Kind::Cells),
            loss: time(Kind::Loss),
            optimizer: time(Kind::Optimizer),
        }
    }

    /// Counts this thread's time for a kind of work until it is dropped, without that of the spans within.
    #[must_use]
    pub(in crate::ops) struct Span(Option<Running>);

    struct Running {
        kind: Kind,
        begun: Instant,
        /// Of the spans that ended before, within the one around.
        before: u64,
    }

    #[inline]
    pub(in crate::ops) fn span(kind: Kind) -> Span {
        if WATCHES.load(Ordering::Relaxed) == 0 {
            return Span(None);
        }
        Span(Some(Running {
            kind,
            before: INNER.replace(0),
            begun: Instant::now(),
        }))
    }

    impl Drop for Span {
        #[inline]
        fn drop(&mut self) {
            if let Some(Running {
                kind,
                begun,
                before,
            }) = self.0.take()
            {
                let all = begun.elapsed().as_nanos() as u64;
                let own = all.saturating_sub(INNER.get());
                TIMES[kind as usize].fetch_add(own, Ordering::Relaxed);
                INNER.set(before + all);
            }
        }
    }
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use super::*;
    use std::thread::sleep;

    #[test]
    fn inner_work_is_not_counted_twice() {
        let pause = Duration::from_millis(20);
        let ((), work) = Work::measure(|| {
            let _attention = span(Kind::Attention);
            sleep(pause);
            for _ in 0..2 {
                let _cells = span(Kind::Cells);
                sleep(pause);
            }
        });
        // Other tests work at the same time, so there may be more, but not of twice counting alone.
        assert!(work.attention >= pause && work.cells >= 2 * pause);
        assert!(work.total() >= 3 * pause);
        let unwatched = span(Kind::Loss);
        drop(unwatched);
    }
}
