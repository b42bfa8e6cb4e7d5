//! The textbook's printer: a server that crashes around one job, clients with a rule for asking
//! again, and what is on paper in the end.
//!
//! A server does two things for a job: it prints (P) and sends the completion message (M), in one
//! order or the other, and crashes (C) before, between or after them. Then it comes back, and the
//! client, who knows that it crashed, asks again by its rule: always, never, only when M came, only
//! when it did not. No rule is right in all cases (Tanenbaum & van Steen, Distributed Systems,
//! 2nd ed., 8.3.2, fig. 8-8). `exactly_once` is: effect and reply are one commit.
//!
//! Every cell is a run of the product in the simulator: nothing here computes what it prints.

mod job;
mod table;

use std::error::Error;

use serde::Serialize;

pub(crate) use table::table;

/// When a client that knows of the crash asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Strategy {
    Always,
    Never,
    OnlyWhenAcked,
    OnlyWhenNotAcked,
    /// No rule at all: the method is `exactly_once`, and is called once.
    ExactlyOnce,
}

/// Where the crash falls; what stands in brackets never happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Order {
    #[serde(rename = "MPC")]
    MessagePrintCrash,
    #[serde(rename = "MC(P)")]
    MessageCrash,
    #[serde(rename = "C(MP)")]
    CrashBeforeMessage,
    #[serde(rename = "PMC")]
    PrintMessageCrash,
    #[serde(rename = "PC(M)")]
    PrintCrash,
    #[serde(rename = "C(PM)")]
    CrashBeforePrint,
}

/// How often the job is on paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Printed {
    /// Once.
    Ok,
    /// More than once.
    Dup,
    /// Never.
    Zero,
}

impl Printed {
    fn times(count: u64) -> Self {
        match count {
            0 => Self::Zero,
            1 => Self::Ok,
            _ => Self::Dup,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Dup => "DUP",
            Self::Zero => "ZERO",
        }
    }
}

impl Order {
    /// First the server that sends before it prints, then the one that prints first.
    pub(crate) const ALL: [Self; 6] = [
        Self::MessagePrintCrash,
        Self::MessageCrash,
        Self::CrashBeforeMessage,
        Self::PrintMessageCrash,
        Self::PrintCrash,
        Self::CrashBeforePrint,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::MessagePrintCrash => "MPC",
            Self::MessageCrash => "MC(P)",
            Self::CrashBeforeMessage => "C(MP)",
            Self::PrintMessageCrash => "PMC",
            Self::PrintCrash => "PC(M)",
            Self::CrashBeforePrint => "C(PM)",
        }
    }
}

impl Strategy {
    pub(crate) const ALL: [Self; 5] =
        [Self::Always, Self::Never, Self::OnlyWhenAcked, Self::OnlyWhenNotAcked, Self::ExactlyOnce];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Never => "never",
            Self::OnlyWhenAcked => "only when acked",
            Self::OnlyWhenNotAcked => "only when not acked",
            Self::ExactlyOnce => "exactly_once",
        }
    }

    /// What the textbook prints in this row, in the order of [`Order::ALL`].
    fn textbook(self) -> [Printed; 6] {
        use Printed::{Dup, Ok, Zero};
        match self {
            Self::Always => [Dup, Ok, Ok, Dup, Dup, Ok],
            Self::Never => [Ok, Zero, Zero, Ok, Ok, Zero],
            Self::OnlyWhenAcked => [Dup, Ok, Zero, Dup, Ok, Zero],
            Self::OnlyWhenNotAcked => [Ok, Zero, Ok, Ok, Dup, Ok],
            Self::ExactlyOnce => [Ok; 6],
        }
    }
}

/// A row: what came of every order of events.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) strategy: Strategy,
    #[serde(serialize_with = "as_map")]
    pub(crate) cells: [Printed; 6],
}

impl Row {
    /// What differs from the textbook, if anything does.
    pub(crate) fn complaint(&self) -> Option<String> {
        let expected = self.strategy.textbook();
        let cells = Order::ALL.iter().zip(self.cells.iter().zip(expected));
        let wrong: Vec<String> = cells
            .filter(|(_, (got, expected))| *got != expected)
            .map(|(order, (got, expected))| {
                format!("{}: {} instead of {}", order.word(), got.word(), expected.word())
            })
            .collect();
        (!wrong.is_empty()).then(|| format!("{}: {}", self.strategy.word(), wrong.join(", ")))
    }
}

fn as_map<S: serde::Serializer>(cells: &[Printed; 6], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(Order::ALL.iter().map(|order| order.word()).zip(cells))
}

/// Runs all cells.
pub(crate) fn rows(seed: u64) -> Result<Vec<Row>, Box<dyn Error>> {
    Strategy::ALL
        .iter()
        .map(|&strategy| {
            let mut cells = [Printed::Zero; 6];
            for (cell, order) in cells.iter_mut().zip(Order::ALL) {
                *cell = Printed::times(job::run(seed, strategy, order)?);
            }
            Ok(Row { strategy, cells })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_the_textbooks_whatever_the_seed() {
        for seed in [1, 7, 1_000] {
            let complaints: Vec<String> =
                rows(seed).expect("the runs end").iter().filter_map(Row::complaint).collect();
            assert_eq!(complaints, Vec::<String>::new(), "seed {seed}");
        }
    }

    #[test]
    fn a_cell_that_differs_is_named() {
        let row = Row { strategy: Strategy::Never, cells: [Printed::Ok; 6] };
        let complaint = row.complaint().expect("three cells are wrong");
        assert_eq!(
            complaint,
            "never: MC(P): OK instead of ZERO, C(MP): OK instead of ZERO, C(PM): OK instead of ZERO"
        );
    }
}
