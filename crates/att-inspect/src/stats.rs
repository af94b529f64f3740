use crate::AttentionMap;

/// Entropy of each target step's weights in nats, `[tgt_len]`.
///
/// `H_t = -sum_s p_ts ln p_ts` with `p_ts = weight_ts / sum_s weight_ts`: 0 when one source token
/// has it all, `ln src_len` when all are equal. A row of zeros gives 0.
pub fn entropy(map: &AttentionMap) -> Vec<f64> {
    map.rows()
        .map(|row| {
            let total: f64 = row.iter().copied().map(f64::from).sum();
            let terms = row.iter().filter(|w| **w > 0.0).map(|&weight| {
                let p = f64::from(weight) / total;
                -p * p.ln()
            });
            // A sum of no terms is -0.
            terms.sum::<f64>().max(0.0)
        })
        .collect()
}

/// Mean of the [`entropy`] over the target steps that attended to anything, in nats.
///
/// Rows of zeros are left out, since they are neither sharp nor flat; 0 when there are no others.
pub fn mean_entropy(map: &AttentionMap) -> f64 {
    let attended = map.rows().filter(|row| row.iter().any(|w| *w > 0.0));
    match attended.count() {
        0 => 0.0,
        steps => entropy(map).iter().sum::<f64>() / steps as f64,
    }
}

/// Sharpness of each target step, `[tgt_len]`: the greatest weight of its row; 0 for a row of zeros.
pub fn sharpness(map: &AttentionMap) -> Vec<f32> {
    map.rows()
        .map(|row| row.iter().copied().fold(0.0, f32::max))
        .collect()
}

/// Coverage of each source token, `[src_len]`: its weights summed over the target, `sum_t weight_ts`.
///
/// Far below 1 hints at a token left untranslated, far above 1 at one translated repeatedly
/// (Tu et al. 2016, "Modeling Coverage for Neural Machine Translation").
pub fn coverage(map: &AttentionMap) -> Vec<f64> {
    let mut coverage = vec![0.0; map.src_len()];
    for row in map.rows() {
        for (sum, &weight) in coverage.iter_mut().zip(row) {
            *sum += f64::from(weight);
        }
    }
    coverage
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::tests::map;

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-7, "{found:?} is not {expected:?}");
        }
    }

    #[test]
    fn reads_a_map_with_sharp_flat_and_empty_rows() {
        #[rustfmt::skip]
        let map = map("a|b|c|d", "w|x|y|z", &[
            1.0, 0.0, 0.0, 0.0,
            0.25, 0.25, 0.25, 0.25,
            0.0, 0.0, 0.0, 0.0,
            0.0, 0.1, 0.1, 0.0, // entropy does not depend on the row's sum
        ]);
        let (ln2, ln4) = (2f64.ln(), 4f64.ln());
        assert_close(&entropy(&map), &[0.0, ln4, 0.0, ln2]);
        assert_close(&[mean_entropy(&map)], &[(ln4 + ln2) / 3.0]);
        assert_eq!(sharpness(&map), [1.0, 0.25, 0.0, 0.1]);
        assert_close(&coverage(&map), &[1.25, 0.35, 0.35, 0.25]);
        assert!(entropy(&map).iter().all(|h| h.is_sign_positive()));
    }

    #[test]
    fn a_map_without_weights_gives_zeros() {
        let empty = AttentionMap::new(vec![], vec![String::new()], vec![]).unwrap();
        assert_eq!(entropy(&empty), [0.0]);
        assert_eq!(mean_entropy(&empty), 0.0);
        assert_eq!(sharpness(&empty), [0.0]);
        assert!(coverage(&empty).is_empty());
    }
}
