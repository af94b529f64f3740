/// A source and a target as ids, without special tokens; [`Batch`](crate::Batch) adds them.
///
/// An example to translate has an empty target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// The ids of the source.
    pub src: Vec<u32>,
    /// The ids of the target.
    pub tgt: Vec<u32>,
    /// The ids of the source's tokens in the target vocabulary, extended by them
    /// ([`ExtendedVocabulary`](crate::ExtendedVocabulary)); for a model that copies. The target then has
    /// such ids too.
    pub copy_ids: Option<Vec<u32>>,
}
