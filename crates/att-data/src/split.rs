use crate::Digest;

/// A number in [0, 1) that depends on the key and the seed only, to divide keys into parts: for
/// example test below 0.05, dev below 0.1, train above. A key stays in its part when others come
/// and go, and all lines of one word fall together.
///
/// The number is the upper 53 bits of the 64-bit FNV-1a hash of the seed's eight bytes (the
/// lowest first) and the key's UTF-8 bytes, passed through the finaliser of MurmurHash3, divided
/// by 2^53. This will never change.
pub fn split_by_hash(key: &str, seed: u64) -> f64 {
    let mut hash = fnv1a(&[&seed.to_le_bytes(), key.as_bytes()].concat());
    // FNV-1a hardly moves the upper bits for the last bytes of a key.
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

/// The [`Digest`] of these bytes.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    let mut digest = Digest::new();
    digest.update(bytes);
    digest.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_never_change() {
        // scripts/golden/data_golden.py
        assert_eq!(split_by_hash("ABACUS", 0), 0.6586934267558244);
        assert_eq!(split_by_hash("ABACUS", 1), 0.031658376966351987);
        assert_eq!(split_by_hash("naïve", 42), 0.26434985154694535);
    }

    #[test]
    fn parts_have_their_share() {
        let share = |seed| {
            let below = |n: &u32| split_by_hash(&n.to_string(), seed) < 0.1;
            (0..20_000).filter(below).count() as f64 / 20_000.0
        };
        for seed in 0..5 {
            assert!((share(seed) - 0.1).abs() < 0.01, "{}", share(seed));
        }
    }
}
