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

/// FNV-1a with 64 bits (Fowler, Noll, Vo; <http://www.isthe.com/chongo/tech/comp/fnv/>).
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_gives_its_published_values() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

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
