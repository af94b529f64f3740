//! What this process has used of the machine. Where the system does not tell, there is no number.

/// Seconds of processor time so far, over all threads.
pub(crate) fn processor_seconds() -> Option<f64> {
    #[cfg(target_os = "linux")]
    {
        use rustix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Some(time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9)
    }
    #[cfg(not(target_os = "linux"))]
    {
        None
    }
}

/// The greatest amount of memory held so far (resident set), in MB of 10^6 bytes.
pub(crate) fn peak_rss_mb() -> Option<f64> {
    Some(peak_rss()? as f64 / 1e6)
}

/// The greatest amount of memory held since [`forget_peak`], in bytes.
pub(crate) fn peak_rss() -> Option<u64> {
    status("VmHWM:")
}

/// Lets the greatest amount of memory count from now on, where the system allows that.
pub(crate) fn forget_peak() {
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Bytes that this process may come to hold: what it holds now and what the system has left, or the limit of
/// its control group.
pub(crate) fn available_memory() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let read = std::fs::read_to_string;
        let left = kib_of(&read("/proc/meminfo").ok()?, "MemAvailable:")?;
        let limit = read("/sys/fs/cgroup/memory.max").ok();
        let limit = limit.and_then(|limit| limit.trim().parse().ok());
        Some((left + status("VmRSS:")?).min(limit.unwrap_or(u64::MAX)))
    }
    #[cfg(not(target_os = "linux"))]
    {
        None
    }
}

/// Bytes, by their name in `/proc/self/status`.
fn status(name: &str) -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        kib_of(&std::fs::read_to_string("/proc/self/status").ok()?, name)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = name;
        None
    }
}

/// Bytes, from a text whose `kB` are 1024 of them.
#[cfg(any(target_os = "linux", test))]
fn kib_of(text: &str, name: &str) -> Option<u64> {
    let found = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = found.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_its_line() {
        let status = "Name:\tatt\nVmPeak:\t  900000 kB\nVmHWM:\t   500000 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(kib_of(status, "VmHWM:"), Some(512_000_000));
        assert_eq!(kib_of("Name:\tatt\n", "VmHWM:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells() {
        let before = processor_seconds().unwrap();
        let sum: f64 = (0..1_000_000_u32).map(|n| f64::from(n).sqrt()).sum();
        assert!(sum > 0.0 && processor_seconds().unwrap() > before);
        assert!(peak_rss_mb().unwrap() > 0.1);
        assert!(available_memory().unwrap() > 1 << 20);
        // Much more than the tests beside this one take or give back meanwhile.
        let held = vec![1_u8; 256 << 20];
        assert_eq!(held[9], 1);
        drop(held);
        let peak = peak_rss().unwrap();
        assert!(peak >= 256 << 20, "{peak}");
        forget_peak();
        let after = peak_rss().unwrap();
        assert!(after < peak - (128 << 20), "{peak} {after}");
    }
}
