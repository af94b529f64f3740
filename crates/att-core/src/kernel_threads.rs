/// Runs something on a thread that the CPU kernels share their work from, so that handing a part
/// to the others puts no thread to sleep: for whole runs of training and decoding, many small
/// operations one after the other. Within such a run, and without a CPU backend, it just runs.
///
/// Each run has a pool of its own, as large as the one it is called from. A thread that waits for
/// the others takes up whatever its pool has to do: in a common pool that could be another whole
/// run, on top of the first one's stack, which would draw from the first one's
/// [random numbers](crate::random) and hold it up until it ends.
pub fn on_kernel_threads<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    #[cfg(feature = "cpu")]
    return pools::with(run);
    #[cfg(not(feature = "cpu"))]
    run()
}

#[cfg(feature = "cpu")]
mod pools {
    use std::sync::{Mutex, PoisonError};

    use rayon::{ThreadPool, ThreadPoolBuilder};

    /// The pools that no run has: kept, because a pool costs some 100 µs to start and its threads
    /// hold the products' packed factors.
    static IDLE: Mutex<Vec<ThreadPool>> = Mutex::new(Vec::new());

    pub(super) fn with<T: Send>(run: impl FnOnce() -> T + Send) -> T {
        if rayon::current_thread_index().is_some() {
            return run();
        }
        let threads = rayon::current_num_threads();
        let Some(pool) = take(threads).or_else(|| start(threads)) else {
            return run();
        };
        let result = pool.install(run);
        lock().push(pool);
        result
    }

    fn take(threads: usize) -> Option<ThreadPool> {
        let mut idle = lock();
        let place = idle
            .iter()
            .position(|pool| pool.current_num_threads() == threads)?;
        Some(idle.swap_remove(place))
    }

    /// None where no threads can be started.
    fn start(threads: usize) -> Option<ThreadPool> {
        ThreadPoolBuilder::new().num_threads(threads).build().ok()
    }

    fn lock() -> std::sync::MutexGuard<'static, Vec<ThreadPool>> {
        IDLE.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use super::on_kernel_threads;
    use crate::random;

    /// In a common pool a run that waits for its parts takes up another run in the meantime.
    #[test]
    fn runs_side_by_side_do_not_meet() {
        let run = |seed: u64| {
            on_kernel_threads(|| {
                random::seed(seed);
                for _ in 0..200 {
                    rayon::join(std::thread::yield_now, std::thread::yield_now);
                }
                random::uniform(1, 1.0)
            })
        };
        let alone: Vec<_> = (0..8).map(run).collect();
        let together: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|seed| scope.spawn(move || run(seed))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(alone, together);
    }
}
