//! Rows as an aligned table for people, or as one JSON object a line.

use serde::Serialize;

/// A line of a table; its fields are those of the JSON object.
pub(crate) trait Row: Serialize {
    const HEADER: &'static [&'static str];

    /// What people see, as many cells as the header has.
    fn cells(&self) -> Vec<String>;
}

/// Prints `rows`.
pub(crate) fn show<R: Row>(json: bool, title: &str, rows: &[R]) {
    if json {
        for row in rows {
            println!("{}", serde_json::to_string(row).expect("rows are plain data"));
        }
    } else {
        let cells: Vec<_> = rows.iter().map(Row::cells).collect();
        println!("{title}\n{}", aligned(R::HEADER, &cells));
    }
}

/// The first column to the left, numbers to the right; columns without anything in them are left out.
fn aligned(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<_> = header.iter().map(|&cell| cell.to_owned()).collect();
    let lines = || std::iter::once(&header).chain(rows);
    let width = |column: usize| lines().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for line in lines() {
        for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            if rows.iter().all(|row| row[column].is_empty()) {
                continue;
            }
            text +=
                &if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// A number with `digits` behind the point, or a dash.
pub(crate) fn number(value: impl Into<Option<f64>>, digits: usize) -> String {
    match value.into().filter(|value| value.is_finite()) {
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_left_and_numbers_right() {
        let rows =
            [vec!["raw".to_owned(), "9.5".to_owned()], vec!["rpc".to_owned(), "10.5".to_owned()]];
        assert_eq!(aligned(&["SYSTEM", "us"], &rows), "SYSTEM    us\nraw      9.5\nrpc     10.5\n");
    }

    #[test]
    fn a_column_of_nothing_is_left_out() {
        let rows = [vec!["raw".to_owned(), String::new(), "1".to_owned()]];
        assert_eq!(aligned(&["SYSTEM", "switches", "us"], &rows), "SYSTEM  us\nraw      1\n");
    }

    #[test]
    fn what_is_no_number_is_a_dash() {
        assert_eq!(number(f64::NAN, 2), "-");
        assert_eq!(number(None, 2), "-");
        assert_eq!(number(1.005, 1), "1.0");
    }
}
