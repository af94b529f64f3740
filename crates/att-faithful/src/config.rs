//! How faithfulness is measured.

use att_core::check;

use crate::Result;

/// Shares of the source's tokens that are erased (DeYoung et al. 2020, sec. 4.2), rounded up to one token at
/// least.
pub const BINS: [f64; 5] = [0.01, 0.05, 0.1, 0.2, 0.5];

/// What can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaithfulConfig {
    /// Orders that the weights of each step are put in; 10 unless told.
    pub permutations: usize,
    /// Points of the integrated gradients; 20 unless told.
    pub integration_steps: usize,
    /// What random rankings and orders, and the random weights of the floor follow from; 1 unless told.
    pub seed: u64,
}

impl Default for FaithfulConfig {
    fn default() -> Self {
        Self {
            permutations: 10,
            integration_steps: 20,
            seed: 1,
        }
    }
}

impl FaithfulConfig {
    /// # Errors
    ///
    /// If a number is 0.
    pub fn validate(&self) -> Result<()> {
        check::size("permutations", self.permutations)?;
        check::size("integration_steps", self.integration_steps)?;
        Ok(())
    }
}
