use serde::{Deserialize, Serialize};

use crate::canvas::{
    BELOW_TITLE, Canvas, INK, LINE, MUTED, PADDING, Px, TextStyle, escape, text_width,
};
use crate::label::{isolated, label};
use crate::{Error, Result};

/// Size of the text.
const SIZE: f64 = 12.0;
/// Height of a node's row.
const ROW: f64 = 18.0;
/// Between the columns: room for the lines.
const GAP: f64 = 34.0;
/// Columns of text that a token takes at most; the rest shows on hover.
const MAX_TOKEN: usize = 20;
/// What leads to a hypothesis that came back.
const CHOSEN: &str = "#1d6fb8";
/// Hypotheses that ended.
const ENDED: &str = "#1e7d4f";

/// All that a search weighed, with the tokens' names; as JSON `{"nodes":[...]}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Nodes")]
pub struct SearchTree {
    nodes: Vec<TreeNode>,
}

/// A token behind another hypothesis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreeNode {
    /// The node that it continues, which stands before it; none at the first step.
    pub parent: Option<usize>,
    /// How many tokens there are up to here.
    pub step: usize,
    /// Which of several beams.
    pub group: usize,
    /// The token.
    pub token: String,
    /// Its log-probability.
    pub log_prob: f32,
    /// What the tokens up to here add up to.
    pub total: f64,
    /// The score of the whole, where it ended.
    pub score: Option<f64>,
    /// What became of it.
    pub fate: Fate,
    /// Its place among the hypotheses that came back, 0 the best.
    pub rank: Option<usize>,
}

/// What became of a [`TreeNode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It stayed in the beam.
    Kept,
    /// Others were better.
    Pruned,
    /// It ended and kept its place.
    Ended,
}

#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<TreeNode>,
}

impl TryFrom<Nodes> for SearchTree {
    type Error = Error;

    fn try_from(Nodes { nodes }: Nodes) -> Result<Self> {
        Self::new(nodes)
    }
}

impl SearchTree {
    /// A tree of these nodes.
    ///
    /// # Errors
    ///
    /// If a node does not stand behind its parent, or not one step further.
    pub fn new(nodes: Vec<TreeNode>) -> Result<Self> {
        for (index, node) in nodes.iter().enumerate() {
            let step = match node.parent {
                None => Some(1),
                Some(parent) if parent < index => Some(nodes[parent].step + 1),
                Some(_) => None,
            };
            if step != Some(node.step) {
                return Err(Error::TreeNode { node: index });
            }
        }
        Ok(Self { nodes })
    }

    /// The nodes, parents first.
    pub fn nodes(&self) -> &[TreeNode] {
        &self.nodes
    }
}

/// A [`SearchTree`] as a self-contained SVG: a column a step, the likeliest at the top. Blue leads to the
/// hypotheses that came back, green are ends with their scores, grey is what was pruned; a hover text has
/// the numbers of each node.
///
/// ```
/// use att_inspect::{Fate, SearchTree, SvgTree, TreeNode};
///
/// let end = TreeNode {
///     parent: None,
///     step: 1,
///     group: 0,
///     token: "</s>".into(),
///     log_prob: -0.7,
///     total: -0.7,
///     score: Some(-0.7),
///     fate: Fate::Ended,
///     rank: Some(0),
/// };
/// let svg = SvgTree::default().render(&SearchTree::new(vec![end])?);
/// assert!(svg.starts_with("<svg ") && svg.contains("log-probability -0.7000"));
/// # Ok::<(), att_inspect::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SvgTree {
    /// The title above the tree. Default "Search tree".
    pub title: String,
    /// Whether what was pruned is drawn. Default true.
    pub pruned: bool,
}

impl Default for SvgTree {
    fn default() -> Self {
        Self {
            title: "Search tree".to_string(),
            pruned: true,
        }
    }
}

impl SvgTree {
    /// The tree as SVG text.
    pub fn render(&self, tree: &SearchTree) -> String {
        let nodes = tree.nodes();
        let shown: Vec<bool> = nodes
            .iter()
            .map(|node| self.pruned || node.fate != Fate::Pruned)
            .collect();
        let chosen = chosen(nodes);
        let texts: Vec<String> = nodes.iter().map(text).collect();
        let rows = rows(nodes, &shown);

        // Where each column begins, and how wide it is.
        let mut widths: Vec<f64> = Vec::new();
        for ((node, text), _) in nodes
            .iter()
            .zip(&texts)
            .zip(&shown)
            .filter(|(_, shown)| **shown)
        {
            if widths.len() < node.step {
                widths.resize(node.step, 0.0);
            }
            let width = &mut widths[node.step - 1];
            *width = width.max(text_width(text, SIZE));
        }
        let mut lefts = Vec::with_capacity(widths.len());
        let root = "<s>";
        let mut left = PADDING + text_width(root, SIZE) + GAP;
        for width in &widths {
            lefts.push(left);
            left += width + GAP;
        }

        let top = BELOW_TITLE + 34.0;
        let y_of = |row: f64| top + row * ROW;
        let root_row = middle(
            (0..nodes.len()).filter(|&i| shown[i] && nodes[i].parent.is_none()),
            &rows,
        );
        let mut canvas = Canvas::default();
        let small = TextStyle {
            size: SIZE - 1.0,
            fill: MUTED,
            ..Default::default()
        };
        let legend =
            "token and its log-probability; blue: came back, green: ended (score), grey: pruned";
        canvas.text(PADDING, BELOW_TITLE + 11.0, small, legend);
        for (index, node) in nodes.iter().enumerate().filter(|(index, _)| shown[*index]) {
            let (x, y) = (lefts[node.step - 1], y_of(rows[index]));
            let (from_x, from_y) = match node.parent {
                Some(parent) => {
                    let left = lefts[nodes[parent].step - 1];
                    (left + text_width(&texts[parent], SIZE), y_of(rows[parent]))
                }
                None => (PADDING + text_width(root, SIZE), y_of(root_row)),
            };
            let color = if chosen[index] { CHOSEN } else { LINE };
            let (x1, y1) = (Px(from_x + 3.0), Px(from_y - 4.0));
            let (x2, y2, bend) = (Px(x - 3.0), Px(y - 4.0), Px((from_x + x) / 2.0));
            canvas.push(format_args!(
                r#"<path d="M{x1} {y1}C{bend} {y1} {bend} {y2} {x2} {y2}" fill="none" stroke="{color}"/>"#
            ));
            let fill = match node.fate {
                _ if chosen[index] && node.fate != Fate::Ended => CHOSEN,
                Fate::Ended => ENDED,
                Fate::Kept => INK,
                Fate::Pruned => MUTED,
            };
            let weight = if chosen[index] { 600 } else { 400 };
            let (x, y, text, hover) = (Px(x), Px(y), escape(&texts[index]), escape(&hover(node)));
            canvas.push(format_args!(
                r#"<text x="{x}" y="{y}" font-size="{SIZE}" font-weight="{weight}" fill="{fill}">{text}<title>{hover}</title></text>"#
            ));
        }
        let style = TextStyle {
            size: SIZE,
            ..Default::default()
        };
        canvas.text(PADDING, y_of(root_row), style, root);
        let last = rows.iter().copied().fold(0.0, f64::max);
        let width = left.max(PADDING + text_width(legend, SIZE - 1.0)) + PADDING;
        canvas.finish(&self.title, width, y_of(last) + PADDING)
    }
}

/// The row of each node: leaves stand below each other, the best child of a node first, and a node
/// beside the middle of its children.
fn rows(nodes: &[TreeNode], shown: &[bool]) -> Vec<f64> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut stack: Vec<usize> = Vec::new();
    for (index, node) in nodes.iter().enumerate().filter(|(index, _)| shown[*index]) {
        match node.parent {
            Some(parent) => children[parent].push(index),
            None => stack.push(index),
        }
    }
    // Worst first: what is pushed last comes off first.
    let sort = |of: &mut Vec<usize>| {
        of.sort_by(|&a, &b| {
            let (a, b) = (&nodes[a], &nodes[b]);
            b.group.cmp(&a.group).then(a.total.total_cmp(&b.total))
        });
    };
    sort(&mut stack);
    children.iter_mut().for_each(sort);
    let mut rows = vec![0.0; nodes.len()];
    let mut next = 0.0;
    while let Some(index) = stack.pop() {
        if children[index].is_empty() {
            rows[index] = next;
            next += 1.0;
        }
        stack.extend(&children[index]);
    }
    // Children stand behind their parents in the list.
    for index in (0..nodes.len()).rev() {
        if !children[index].is_empty() {
            rows[index] = middle(children[index].iter().copied(), &rows);
        }
    }
    rows
}

/// Between the first and the last row of some nodes.
fn middle(of: impl Iterator<Item = usize>, rows: &[f64]) -> f64 {
    let ends = of.fold(None, |ends: Option<(f64, f64)>, index| {
        let row = rows[index];
        let (low, high) = ends.unwrap_or((row, row));
        Some((low.min(row), high.max(row)))
    });
    ends.map_or(0.0, |(low, high)| (low + high) / 2.0)
}

/// Which nodes lead to hypotheses that came back.
fn chosen(nodes: &[TreeNode]) -> Vec<bool> {
    let mut chosen: Vec<bool> = nodes.iter().map(|node| node.rank.is_some()).collect();
    for index in (0..nodes.len()).rev() {
        if let (true, Some(parent)) = (chosen[index], nodes[index].parent) {
            chosen[parent] = true;
        }
    }
    chosen
}

fn text(node: &TreeNode) -> String {
    // Numbers behind text that runs to the left would run with it.
    let token = isolated(&label(&node.token, MAX_TOKEN));
    match (node.score, node.rank) {
        (Some(score), Some(rank)) => format!("{token} {score:.2} #{}", rank + 1),
        (Some(score), None) => format!("{token} {score:.2}"),
        (None, _) => format!("{token} {:.2}", node.log_prob),
    }
}

fn hover(node: &TreeNode) -> String {
    let TreeNode {
        log_prob, total, ..
    } = node;
    let token = isolated(&label(&node.token, usize::MAX));
    let mut hover = format!("{token}: log-probability {log_prob:.4}, sum {total:.4}");
    if let Some(score) = node.score {
        hover += &format!(", score {score:.4}");
    }
    hover
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(parent: Option<usize>, step: usize, token: &str, total: f64, fate: Fate) -> TreeNode {
        TreeNode {
            parent,
            step,
            group: 0,
            token: token.into(),
            log_prob: total as f32,
            total,
            score: (fate == Fate::Ended).then_some(total),
            fate,
            rank: (fate == Fate::Ended).then_some(0),
        }
    }

    fn tree() -> SearchTree {
        let nodes = vec![
            node(None, 1, "a", -0.5, Fate::Kept),
            node(None, 1, "<b>", -1.0, Fate::Pruned),
            node(Some(0), 2, "c", -0.9, Fate::Kept),
            node(Some(0), 2, "</s>", -0.7, Fate::Ended),
        ];
        SearchTree::new(nodes).unwrap()
    }

    #[test]
    fn each_node_stands_in_the_column_of_its_step() {
        let svg = SvgTree::default().render(&tree());
        let xml = roxmltree::Document::parse(&svg).unwrap();
        let place = |start: &str| {
            let mut texts = xml.descendants().filter(|node| node.has_tag_name("text"));
            let node = texts
                .rfind(|node| node.text().is_some_and(|text| text.starts_with(start)))
                .unwrap();
            let number = |name| node.attribute(name).unwrap().parse::<f64>().unwrap();
            (number("x"), number("y"))
        };
        let (a, b, c, end) = (place("a "), place("<b> "), place("c "), place("</s> "));
        assert_eq!(a.0, b.0);
        assert_eq!(c.0, end.0);
        assert!(c.0 > a.0);
        // The likelier stands higher, a parent beside its children.
        assert!(end.1 < c.1 && c.1 < b.1);
        assert!((a.1 - (end.1 + c.1) / 2.0).abs() < 0.11);
        assert!(svg.contains("&lt;/s&gt; -0.70 #1"));
    }

    #[test]
    fn numbers_stay_behind_tokens_that_run_to_the_left() {
        let tree = SearchTree::new(vec![node(None, 1, "سلام", -0.5, Fate::Kept)]).unwrap();
        let svg = SvgTree::default().render(&tree);
        assert!(
            svg.contains("\u{2068}سلام\u{2069} -0.50<title>\u{2068}سلام\u{2069}: log-probability")
        );
    }

    #[test]
    fn what_was_pruned_can_be_left_out() {
        let kept = SvgTree {
            pruned: false,
            ..Default::default()
        };
        assert!(SvgTree::default().render(&tree()).contains("&lt;b&gt;"));
        assert!(!kept.render(&tree()).contains("&lt;b&gt;"));
        let empty = SearchTree::new(Vec::new()).unwrap();
        assert!(roxmltree::Document::parse(&kept.render(&empty)).is_ok());
    }

    #[test]
    fn json_round_trips_and_what_is_no_tree_is_refused() {
        let json = serde_json::to_string(&tree()).unwrap();
        assert!(json.starts_with(r#"{"nodes":[{"parent":null,"step":1,"group":0,"token":"a""#));
        assert!(json.contains(r#""fate":"ended","rank":0"#));
        assert_eq!(serde_json::from_str::<SearchTree>(&json).unwrap(), tree());
        let json = json.replace(r#""parent":0"#, r#""parent":2"#);
        let error = serde_json::from_str::<SearchTree>(&json).unwrap_err();
        assert!(error.to_string().contains("node 2"), "{error}");
    }
}
