use att_decoder::search;
use att_inspect::{Fate, SearchTree, TreeNode};
use att_model::Translator;

/// All that a search of a line weighed, with the names of its tokens.
///
/// # Errors
///
/// If a node does not stand behind its parent: not of a tree that the translator has recorded.
pub fn search_tree(
    translator: &Translator,
    line: &str,
    tree: search::SearchTree,
) -> att_inspect::Result<SearchTree> {
    let names = translator.target_names(line);
    let node = |node: search::TreeNode| TreeNode {
        parent: node.parent,
        step: node.step,
        group: node.group,
        token: names.name(node.token).into(),
        log_prob: node.log_prob,
        total: node.total,
        score: node.score,
        fate: match node.fate {
            search::Fate::Kept => Fate::Kept,
            search::Fate::Pruned => Fate::Pruned,
            search::Fate::Ended => Fate::Ended,
        },
        rank: node.rank,
    };
    SearchTree::new(tree.nodes.into_iter().map(node).collect())
}
