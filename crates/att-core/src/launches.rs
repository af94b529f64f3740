//! How many kernels a GPU was told to run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use burn_cubecl::cubecl::logging::{LaunchObservation, LaunchObserver};

/// Launches of kernels: how many by the kernel's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launches {
    /// From a kernel's name, as CubeCL has it, to its launches.
    pub by_kernel: BTreeMap<&'static str, usize>,
}

impl Launches {
    /// What `run` gives, and the launches on all GPUs of this process in the meantime, those of
    /// other threads included. A GPU need not have finished them.
    pub fn count<T>(run: impl FnOnce() -> T) -> (T, Self) {
        let observer = Arc::new(Counter::default());
        let observation = LaunchObservation::new(observer.clone());
        let result = run();
        drop(observation);
        let by_kernel = std::mem::take(&mut *observer.0.lock().expect("no launch panics"));
        (result, Self { by_kernel })
    }

    /// Launches of all kernels.
    pub fn total(&self) -> usize {
        self.by_kernel.values().sum()
    }
}

#[derive(Default)]
struct Counter(Mutex<BTreeMap<&'static str, usize>>);

impl LaunchObserver for Counter {
    fn launched(&self, kernel: &'static str) {
        let mut launches = self.0.lock().expect("no launch panics");
        *launches.entry(kernel).or_default() += 1;
    }
}
