//! What a stop has seen: as a table for people, as objects for scripts.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use serde_json::{Map, Value};

/// A figure and its name.
pub(crate) type Figure = (&'static str, Value);

/// What a stop has seen.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Its name in the objects.
    stop: &'static str,
    /// What is shown, and the promise.
    says: String,
    rows: Vec<Row>,
}

/// One line of it.
#[derive(Debug)]
struct Row {
    figures: Vec<Figure>,
    is_kept: bool,
}

impl Seen {
    /// Nothing yet.
    pub(crate) fn new(stop: &'static str, says: String) -> Self {
        Self { stop, says, rows: Vec::new() }
    }

    /// Adds a line, and whether it is as promised.
    pub(crate) fn row(&mut self, is_kept: bool, figures: impl Into<Vec<Figure>>) {
        self.rows.push(Row { figures: figures.into(), is_kept });
    }

    /// Whether all is as promised.
    pub(crate) fn is_kept(&self) -> bool {
        self.rows.iter().all(|row| row.is_kept)
    }

    /// One object a line.
    pub(crate) fn json(&self) -> String {
        let object = |row: &Row| {
            let figures =
                row.figures.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            let mut object: Map<String, Value> = figures.collect();
            object.insert("stop".into(), self.stop.into());
            object.insert("kept".into(), row.is_kept.into());
            Value::Object(object).to_string()
        };
        self.rows.iter().map(object).collect::<Vec<_>>().join("\n")
    }

    /// The promise, a table, and whether it was kept.
    pub(crate) fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(UTF8_BORDERS_ONLY);
        let names = |row: &Row| {
            row.figures.iter().map(|(name, _)| name.replace('_', " ")).collect::<Vec<_>>()
        };
        table.set_header(self.rows.first().map(names).unwrap_or_default());
        for row in &self.rows {
            table.add_row(row.figures.iter().map(|(_, value)| shown(value)));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let verdict = if self.is_kept() { "kept" } else { "BROKEN" };
        format!("{}\n{table}\n{verdict}\n", self.says)
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        // Without the zeros behind the point.
        Value::Number(number) if number.is_f64() => {
            number.as_f64().map_or_else(String::new, |number| number.to_string())
        }
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other.to_string()
        }
    }
}

/// `part / whole`, in so many decimals.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(crate) fn ratio(part: u64, whole: u64, decimals: i32) -> f64 {
    rounded(part as f64 / whole.max(1) as f64, decimals)
}

/// A number to so many decimals.
pub(crate) fn rounded(number: f64, decimals: i32) -> f64 {
    let unit = 10_f64.powi(decimals);
    (number * unit).round() / unit
}
