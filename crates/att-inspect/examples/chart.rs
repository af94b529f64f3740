//! A table as a line chart: `cargo run -p att-inspect --example chart -- TITLE X Y < t.tsv > t.svg`.
//!
//! The table's first row names the series (its first cell is not read); each other row holds x and
//! the value of each series; a cell without a number is left out.

use std::io::{self, Read};

use att_inspect::{LineChart, Series};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [title, x_label, y_label] = arguments.as_slice() else {
        return Err("give a title, a label for x and a label for y".into());
    };
    let mut table = String::new();
    io::stdin().read_to_string(&mut table)?;
    let mut rows = table
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let names = rows.next().ok_or("the table is empty")?;
    let mut series: Vec<Series> = names[1..]
        .iter()
        .map(|name| Series {
            name: (*name).into(),
            points: Vec::new(),
        })
        .collect();
    for row in rows {
        let x: f64 = row[0].parse()?;
        for (series, cell) in series.iter_mut().zip(&row[1..]) {
            if let Ok(y) = cell.parse() {
                series.points.push((x, y));
            }
        }
    }
    let chart = LineChart {
        title: title.clone(),
        x_label: x_label.clone(),
        y_label: y_label.clone(),
        series,
        ..Default::default()
    };
    print!("{}", chart.render());
    Ok(())
}
