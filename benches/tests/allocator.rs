//! Alone in its process, since the count is of the whole process.

use att_bench::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn the_peak_is_what_was_held_at_once() {
    const MIB: usize = 1 << 20;
    let held_before = vec![0u8; 100 * MIB];
    let (grown, peak) = CountingAllocator::peak_of(|| {
        drop(vec![0u8; 40 * MIB]);
        let mut grown = vec![0u8; 10 * MIB];
        grown.reserve_exact(15 * MIB);
        grown
    });
    assert!((40 * MIB..41 * MIB).contains(&peak), "{peak}");
    let (_, peak) = CountingAllocator::peak_of(|| drop((held_before, grown)));
    assert!(peak < MIB, "{peak}");
}
