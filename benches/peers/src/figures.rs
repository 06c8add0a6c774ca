//! The figures of the comparison, and the table that shows them.

use std::collections::BTreeMap;

/// The measured values of one program: for each row, in its unit, one or more values.
#[derive(Default)]
pub struct Figures {
    rows: Vec<(String, Vec<f64>)>,
}

/// A row of the table: what was measured, and the unit.
pub struct Row {
    pub what: &'static str,
    pub unit: &'static str,
}

impl Figures {
    /// Adds a value to a row.
    pub fn add(&mut self, what: &str, value: f64) {
        match self.rows.iter_mut().find(|(row, _)| row == what) {
            Some((_, values)) => values.push(value),
            None => self.rows.push((what.to_owned(), vec![value])),
        }
    }

    fn values(&self, what: &str) -> Option<&[f64]> {
        let row = self.rows.iter().find(|(row, _)| row == what)?;
        Some(&row.1)
    }
}

/// Returns the median of some values, NaN if there is none.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Formats a number with three digits, or all digits before the point.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Returns a cell: the median, the spread, and the ratio to the first program.
fn cell(values: Option<&[f64]>, first: f64) -> String {
    let Some(values) = values else {
        return "–".to_owned();
    };
    let middle = median(values);
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let spread = match values.len() {
        1 => String::new(),
        _ => format!(" ({}–{})", short(least), short(most)),
    };
    let ratio = middle / first;
    let ratio = match ratio.is_finite() && ratio != 1.0 {
        true => format!(", ×{}", short(ratio)),
        false => String::new(),
    };
    format!("{}{spread}{ratio}", short(middle))
}

/// Prints the rows as a Markdown table with a column for each program, the first of which is what
/// the others are compared with.
pub fn print(rows: &[Row], columns: &[&str], figures: &BTreeMap<&str, Figures>) {
    println!("| | unit | {} |", columns.join(" | "));
    println!("|{}", " --- |".repeat(columns.len() + 2));
    for Row { what, unit } in rows {
        let of = |column: &str| figures.get(column)?.values(what);
        let first = of(columns[0]).map_or(f64::NAN, median);
        let cells: Vec<String> = columns.iter().map(|it| cell(of(it), first)).collect();
        println!("| {what} | {unit} | {} |", cells.join(" | "));
    }
}
