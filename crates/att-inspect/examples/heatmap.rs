//! The first attention record of a file as an SVG heat map:
//! `cargo run -p att-inspect --example heatmap -- attention.jsonl > attention.svg`.
//!
//! `att translate MODEL --attention attention.jsonl` writes such files.

use att_inspect::{AttentionRecord, SvgHeatmap};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("give a file of attention records")?;
    let records = AttentionRecord::read_file(&path)?;
    let record = records.first().ok_or("the file has no record")?;
    let source = record.map.src_tokens();
    let heatmap = SvgHeatmap {
        title: format!("{} -> {}", source[..source.len() - 1].concat(), record.text),
        ..Default::default()
    };
    print!("{}", heatmap.render(&record.map));
    Ok(())
}
