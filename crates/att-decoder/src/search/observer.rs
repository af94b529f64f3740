/// Looks on while sources are searched, and may call one off. Sources are counted as the requests are.
///
/// `()` looks at nothing.
pub trait Observer {
    /// Whether the search of a source goes on; asked after each of its steps. Where it does not, it ends with
    /// the hypotheses that have ended, which may be none. The other sources go on.
    fn goes_on(&mut self, source: usize) -> bool {
        let _ = source;
        true
    }

    /// A source has another token, EOS the last. Told where there is one hypothesis alone, so that what is told
    /// stays: of greedy search and of a single sample.
    fn token(&mut self, source: usize, found: FoundToken<'_>) {
        let _ = (source, found);
    }
}

impl Observer for () {}

/// What [`Observer::token`] is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoundToken<'a> {
    /// The token.
    pub token: u32,
    /// Its log-probability.
    pub log_prob: f32,
    /// The attention weights of its step over the states of the memory (padding left out); none without
    /// attention.
    pub weights: Option<&'a [f32]>,
}
