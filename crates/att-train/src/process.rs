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
    #[cfg(target_os = "linux")]
    {
        peak_of(&std::fs::read_to_string("/proc/self/status").ok()?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        None
    }
}

/// From the text of `/proc/self/status`, whose `kB` are 1024 bytes.
#[cfg(any(target_os = "linux", test))]
fn peak_of(status: &str) -> Option<f64> {
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_its_line() {
        let status = "Name:\tatt\nVmPeak:\t  900000 kB\nVmHWM:\t   500000 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(peak_of(status), Some(512.0));
        assert_eq!(peak_of("Name:\tatt\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells() {
        let before = processor_seconds().unwrap();
        let sum: f64 = (0..1_000_000_u32).map(|n| f64::from(n).sqrt()).sum();
        assert!(sum > 0.0 && processor_seconds().unwrap() > before);
        assert!(peak_rss_mb().unwrap() > 0.1);
    }
}
