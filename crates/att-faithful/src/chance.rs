//! What is drawn for a sentence.

use att_core::random;

/// Random numbers of a sentence: they follow from the seed and the sentence's number, whatever the model and
/// whichever sentences are looked at.
pub(crate) struct Chance {
    /// An importance by chance for each step and source token.
    pub importance: Vec<Vec<f32>>,
    /// Which of equals comes first, likewise.
    pub ties: Vec<Vec<f32>>,
    /// For each step so many orders of the memory's states.
    pub orders: Vec<Vec<Vec<usize>>>,
}

impl Chance {
    /// For a sentence of `steps` and `tokens` whose memory has `states`.
    pub fn new(
        seed: u64,
        sentence: usize,
        [steps, tokens, states]: [usize; 3],
        permutations: usize,
    ) -> Self {
        random::seed(random::mix(seed, sentence as u64));
        let matrix = || (0..steps).map(|_| random::uniform(tokens, 1.0)).collect();
        let (importance, ties) = (matrix(), matrix());
        let order = |_| {
            let keys = random::uniform(states, 1.0);
            let mut order: Vec<usize> = (0..states).collect();
            order.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]));
            order
        };
        let orders = (0..steps).map(|_| (0..permutations).map(order).collect());
        Self {
            importance,
            ties,
            orders: orders.collect(),
        }
    }
}

/// The numbers of `limit` of `n` sentences, rising: all if there are no more. A sentence is among them or not
/// whatever stands in it.
pub fn sample(n: usize, limit: usize, seed: u64) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..n).collect();
    numbers.sort_by_key(|&number| (random::mix(seed, number as u64), number));
    numbers.truncate(limit);
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_of_all_and_has_each_once() {
        assert_eq!(sample(4, 10, 1), [0, 1, 2, 3]);
        let found = sample(1000, 100, 1);
        assert_eq!(found.len(), 100);
        assert!(found.is_sorted_by(|a, b| a < b));
        assert!(found[0] < 100 && found[99] > 900, "{found:?}");
        assert_ne!(found, sample(1000, 100, 2));
    }

    #[test]
    fn what_is_drawn_does_not_depend_on_what_was_drawn_before() {
        let first = Chance::new(1, 7, [2, 3, 4], 5);
        random::seed(9);
        let again = Chance::new(1, 7, [2, 3, 4], 5);
        assert_eq!(first.importance, again.importance);
        assert_eq!(first.orders, again.orders);
        assert_eq!([first.orders.len(), first.orders[0].len()], [2, 5]);
        let mut order = first.orders[1][4].clone();
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2, 3]);
    }
}
