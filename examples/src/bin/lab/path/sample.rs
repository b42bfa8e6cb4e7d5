//! What was sampled, and the mean of the middle half of it.

use std::time::Duration;

use rpc_runtime::probe::{MARKS, Mark};

/// Times of calls and echoes, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Samples {
    whole: Vec<f64>,
    raw: Vec<f64>,
    marks: Vec<[u64; MARKS]>,
}

impl Samples {
    pub(super) fn add_whole(&mut self, took: Duration) {
        self.whole.push(took.as_secs_f64() * 1e9);
    }

    pub(super) fn add_raw(&mut self, took: Duration) {
        self.raw.push(took.as_secs_f64() * 1e9);
    }

    /// Takes the marks of a call, unless it went another way than most: then some are not its own.
    pub(super) fn add_marks(&mut self, marks: &[u64; MARKS]) {
        // When the system has taken the datagram is nobody's business but the sender's own: the other
        // side may be at work by then.
        let aside = [Mark::Sent as usize, Mark::ReplySent as usize];
        let mut passed = (0..MARKS).filter(|mark| !aside.contains(mark)).map(|mark| marks[mark]);
        let first = passed.next().unwrap_or_default();
        let is_in_order = passed.try_fold(first, |last, mark| (last <= mark).then_some(mark));
        if is_in_order.is_some() {
            self.marks.push(*marks);
        }
    }

    /// Calls with marks.
    pub(super) fn marked(&self) -> u64 {
        self.marks.len() as u64
    }

    /// How long a call takes.
    pub(super) fn whole(&self) -> f64 {
        middle(self.whole.clone())
    }

    /// How long an echo takes.
    pub(super) fn raw(&self) -> f64 {
        middle(self.raw.clone())
    }

    /// The mean of what `part` says of the middle half of the calls, by how long they took.
    pub(super) fn part(&self, part: impl Fn(&[u64; MARKS]) -> u64) -> f64 {
        let took = |marks: &[u64; MARKS]| marks[MARKS - 1] - marks[0];
        let mut calls: Vec<_> = self.marks.iter().collect();
        calls.sort_unstable_by_key(|marks| took(marks));
        mean(middle_of(&calls).iter().map(|marks| real(part(marks))))
    }
}

/// The mean of the middle half: as little moved by what is far out as a median, but means add up.
fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    mean(middle_of(&values).iter().copied())
}

fn middle_of<T>(sorted: &[T]) -> &[T] {
    let quarter = sorted.len() / 4;
    &sorted[quarter..sorted.len() - quarter]
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = real(values.len() as u64).max(1.0);
    values.sum::<f64>() / count
}

#[expect(clippy::cast_precision_loss, reason = "counts and nanoseconds far below 2^52")]
pub(super) const fn real(count: u64) -> f64 {
    count as f64
}

/// To the next multiple of `unit`.
pub(super) fn rounded(value: f64, unit: f64) -> f64 {
    let inverse = (1.0 / unit).round();
    (value * inverse).round() / inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_half_is_not_moved_by_what_is_far_out() {
        assert!((middle(vec![1e9, 2.0, 4.0, 0.0]) - 3.0).abs() < 1e-9);
        assert!((middle(vec![5.0]) - 5.0).abs() < 1e-9);
    }

    #[test]
    fn calls_whose_marks_are_out_of_order_are_left_out() {
        let mut samples = Samples::default();
        let mut marks: [u64; MARKS] = std::array::from_fn(|mark| mark as u64 * 10);
        samples.add_marks(&marks);
        marks[Mark::Sent as usize] = 75; // the server was at work before the send returned
        samples.add_marks(&marks);
        marks[Mark::Checked as usize] = 1;
        samples.add_marks(&marks);
        assert_eq!(samples.marked(), 2);
        assert!((samples.part(|marks| marks[MARKS - 1]) - 180.0).abs() < 1e-9);
    }
}
