//! What is timed: a file a family of operations.

mod attention;
mod bahdanau;
mod decoding;
mod elementwise;
mod luong;
mod optimizer;
mod output;
mod recurrent;
mod steps;
mod table;
mod transformer;
mod window;

use serde::Serialize;

use crate::Case;

/// All cases.
pub fn all() -> Vec<Case> {
    let families = [
        attention::cases(),
        window::cases(),
        bahdanau::cases(),
        luong::cases(),
        decoding::cases(),
        steps::cases(),
        recurrent::cases(),
        transformer::cases(),
        output::cases(),
        table::cases(),
        elementwise::cases(),
        optimizer::cases(),
    ];
    families.into_iter().flatten().collect()
}

/// batch, tgt_len, src_len, d: decoding steps of a batch, training on sentences, on longer texts and
/// on very long ones, pronunciation, one beam.
const READS: [[usize; 4]; 6] = [
    [64, 1, 25, 512],
    [64, 25, 25, 512],
    [16, 100, 100, 512],
    [4, 400, 400, 512],
    [64, 8, 8, 128],
    [5, 1, 25, 512],
];

/// The kind of a configuration, such as `additive` of `ScorerConfig::Additive`.
fn name(config: &impl Serialize) -> String {
    let json = serde_json::to_value(config).expect("plain data");
    json["kind"].as_str().expect("tagged").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<String> = all()
            .iter()
            .map(|case| format!("{}/{}", case.op, case.shape))
            .collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    /// Of each operation the least shape: the others take too long for a test.
    #[test]
    fn every_operation_runs_in_every_variant_and_pass() {
        let size = |case: &Case| -> f64 {
            let sizes = case.shape.split(['x', '-']);
            sizes.filter_map(|size| size.parse::<f64>().ok()).product()
        };
        let mut cases = all();
        cases.sort_by(|a, b| size(a).total_cmp(&size(b)));
        let mut ops: Vec<String> = Vec::new();
        for case in cases {
            if ops.contains(&case.op) {
                continue;
            }
            for variant in (case.variants)(&Device::flex()) {
                variant.passes().for_each(|(_, run)| run());
            }
            ops.push(case.op);
        }
    }
}
