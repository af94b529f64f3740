use burn::tensor::Device;

/// WebAssembly has none, unless built with a standard library of one's own. Rayon then does all work on the
/// thread that calls it.
const HAS_THREADS: bool = !cfg!(target_family = "wasm");

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

/// Runs something on a thread whose kernels share their work with no other, as each job of
/// [`side_by_side`]: for threads that take jobs from a queue of their own. Without a CPU backend, it just
/// runs.
pub fn on_one_kernel_thread<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    #[cfg(feature = "cpu")]
    return pools::on_threads(1, run);
    #[cfg(not(feature = "cpu"))]
    run()
}

/// Does `work` for each of `jobs`, and hands the results to `done` in the order of the jobs.
///
/// On a CPU as many jobs are done at a time as the pool that this is called from has threads, each
/// on one thread whose kernels share their work with no other. So no thread waits for its share of a
/// small operation, and the results are the same bits for any number of threads. A thread that is
/// free takes the next job itself, but none takes one far ahead of the first that is not done:
/// neither jobs nor results pile up, however many there are.
///
/// On other devices, and in WebAssembly, which has no threads, there is one job after the other.
///
/// # Errors
///
/// The first of `done`; no more jobs begin then.
///
/// # Panics
///
/// If a job does.
pub fn side_by_side<J: Send, T: Send, E>(
    device: &Device,
    jobs: impl Iterator<Item = J> + Send,
    work: impl Fn(J) -> T + Sync,
    mut done: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    #[cfg(feature = "cpu")]
    if HAS_THREADS && crate::device::is_cpu(device) {
        return pools::side_by_side(jobs, work, done);
    }
    let _ = device;
    for job in jobs {
        done(on_kernel_threads(|| work(job)))?;
    }
    Ok(())
}

/// Does all jobs at the same time, each on a thread of its own, and returns their results in the order of the
/// jobs: such as parts of a training step, each on its own device.
///
/// The kernels of each have their share of the threads of the pool that this is called from. One job alone just
/// runs, and where there are no threads one after the other does.
///
/// # Panics
///
/// If a job does.
pub fn at_once<T: Send, J: FnOnce() -> T + Send>(jobs: Vec<J>) -> Vec<T> {
    if !HAS_THREADS || jobs.len() <= 1 {
        return jobs.into_iter().map(|job| job()).collect();
    }
    #[cfg(feature = "cpu")]
    let threads = (rayon::current_num_threads() / jobs.len()).max(1);
    std::thread::scope(|scope| {
        let running = jobs.into_iter().map(|job| {
            scope.spawn(move || {
                #[cfg(feature = "cpu")]
                return pools::on_threads(threads, job);
                #[cfg(not(feature = "cpu"))]
                job()
            })
        });
        let running: Vec<_> = running.collect();
        let results = running.into_iter().map(|job| job.join());
        results
            .map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

#[cfg(feature = "cpu")]
mod pools {
    use std::collections::BTreeMap;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::mpsc::channel;
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::thread;

    use rayon::{ThreadPool, ThreadPoolBuilder};

    /// The pools that no run has: kept, because a pool costs some 100 µs to start and its threads
    /// hold the products' packed factors.
    static IDLE: Mutex<Vec<ThreadPool>> = Mutex::new(Vec::new());

    pub(super) fn with<T: Send>(run: impl FnOnce() -> T + Send) -> T {
        if rayon::current_thread_index().is_some() {
            return run();
        }
        on_threads(rayon::current_num_threads(), run)
    }

    pub(super) fn on_threads<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
        if !super::HAS_THREADS {
            return run();
        }
        let Some(pool) = take(threads).or_else(|| start(threads)) else {
            return run();
        };
        let result = pool.install(run);
        lock(&IDLE).push(pool);
        result
    }

    /// For each thread, how many jobs may be taken beyond the first that is not done.
    const AHEAD: usize = 4;

    pub(super) fn side_by_side<J: Send, T: Send, E>(
        jobs: impl Iterator<Item = J> + Send,
        work: impl Fn(J) -> T + Sync,
        mut done: impl FnMut(T) -> Result<(), E>,
    ) -> Result<(), E> {
        let threads = rayon::current_num_threads();
        let threads = threads.min(jobs.size_hint().1.unwrap_or(threads)).max(1);
        let (permit, permits) = channel();
        let (result, results) = channel();
        for _ in 0..AHEAD * threads {
            permit.send(()).expect("the receiver is here");
        }
        let jobs = Mutex::new((permits, jobs.enumerate()));
        let next = || {
            let (permits, jobs) = &mut *lock(&jobs);
            // There are no more permits where `done` has failed.
            permits.recv().ok().and_then(|()| jobs.next())
        };
        thread::scope(|scope| {
            for _ in 0..threads {
                let (result, next, work) = (result.clone(), &next, &work);
                scope.spawn(move || {
                    on_threads(1, || {
                        while let Some((number, job)) = next() {
                            let found = catch_unwind(AssertUnwindSafe(|| work(job)));
                            if result.send((number, found)).is_err() {
                                return;
                            }
                        }
                    });
                });
            }
            // Both end with this closure, so that no thread waits for what never comes.
            let (permit, results) = (permit, results);
            drop(result);
            let (mut waiting, mut first) = (BTreeMap::new(), 0);
            for (number, found) in results {
                waiting.insert(number, found);
                while let Some(found) = waiting.remove(&first) {
                    first += 1;
                    done(found.unwrap_or_else(|panic| resume_unwind(panic)))?;
                    let _ = permit.send(()); // nobody takes it where all jobs are taken
                }
            }
            Ok(())
        })
    }

    fn take(threads: usize) -> Option<ThreadPool> {
        let mut idle = lock(&IDLE);
        let place = idle
            .iter()
            .position(|pool| pool.current_num_threads() == threads)?;
        Some(idle.swap_remove(place))
    }

    /// None where no threads can be started.
    fn start(threads: usize) -> Option<ThreadPool> {
        ThreadPoolBuilder::new().num_threads(threads).build().ok()
    }

    fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::random;

    fn on<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(run)
    }

    #[test]
    fn results_come_in_the_order_of_the_jobs_and_jobs_are_not_taken_far_ahead() {
        for threads in [1, 2, 5] {
            let (taken, most_ahead) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let mut found = Vec::new();
            on(threads, || {
                let jobs = (0..200).inspect(|_| {
                    taken.fetch_add(1, Ordering::Relaxed);
                });
                let work = |job: usize| {
                    assert_eq!(rayon::current_num_threads(), 1, "kernels of their own");
                    // The first takes so long that the others could do all the rest.
                    if job == 0 {
                        std::thread::sleep(std::time::Duration::from_millis(20));
                    }
                    job * job
                };
                side_by_side(&Device::flex(), jobs, work, |square| {
                    let ahead = taken.load(Ordering::Relaxed) - found.len();
                    most_ahead.fetch_max(ahead, Ordering::Relaxed);
                    found.push(square);
                    Ok::<(), ()>(())
                })
            })
            .unwrap();
            assert_eq!(found, (0..200).map(|job| job * job).collect::<Vec<_>>());
            let most_ahead = most_ahead.into_inner();
            assert!(most_ahead <= 4 * threads, "{most_ahead} of {threads}");
        }
    }

    #[test]
    fn jobs_at_once_share_the_threads_and_wait_for_each_other() {
        let barrier = std::sync::Barrier::new(2);
        let job = |name: usize| {
            let barrier = &barrier;
            move || {
                barrier.wait(); // never, if there were one job after the other
                (name, rayon::current_num_threads())
            }
        };
        let found = on(6, || at_once(vec![job(1), job(2)]));
        assert_eq!(found, [(1, 3), (2, 3)]);
        assert_eq!(on(6, || at_once(vec![rayon::current_num_threads])), [6]);
    }

    #[test]
    fn an_error_ends_it() {
        let device = Device::flex();
        let refuse = |job: usize| if job == 7 { Err(job) } else { Ok(()) };
        let ended = on(2, || side_by_side(&device, 0.., |job| job, refuse));
        assert_eq!(ended, Err(7));
    }

    #[test]
    #[should_panic(expected = "the third")]
    fn a_panic_in_a_job_is_the_callers() {
        let work = |job| assert!(job != 3, "the third");
        let done = |()| Ok::<(), ()>(());
        let _ = on(2, || side_by_side(&Device::flex(), 0.., work, done));
    }

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
