//! What must come out, derived on paper: exact probabilities for calls over a network that drops.
//!
//! The premises, which `world` provides: the session is open; each datagram is dropped by itself
//! with probability p, whichever way it goes, and otherwise arrives at once; the handler takes no
//! time; nothing else goes wrong; and before its deadline a call without a reply is transmitted
//! exactly n times.
//!
//! **That n is certain.** The time-out stands at its floor T, since round trips are far shorter.
//! The first transmission leaves at 0 and the second at T; the wait before transmission k + 1, for
//! k ≥ 2, is 2^(k−1)·T and up to a quarter more (jitter). So the kth leaves
//! no earlier than (2^(k−1) − 1)·T, and no later than T + 5/4·(2^(k−1) − 2)·T for k ≥ 2. The latest
//! nth lies before the earliest (n + 1)th for every n: a deadline half-way between them
//! ([`deadline`]) sees n transmissions, whatever the jitter.
//!
//! **One transmission.** It is lost on its way with p. Otherwise the server answers, and the answer
//! is lost with p. So the call is replied to with s = (1 − p)².
//!
//! **`at_most_once`.** Every copy after the first that arrives is answered from the slot, so each
//! transmission gets its reply with s, whatever the others did:
//!
//! ```text
//! replied                1 − (1 − s)^n
//! never ran              p^n                    all requests lost
//! ran, and no reply      (1 − s)^n − p^n        what is left: with `never ran`, all that is Unknown
//! ```
//!
//! **`at_least_once`.** A copy that arrives runs again; the client stops at the first reply. Let E be
//! the executions. No reply: j of n requests arrived and their replies were lost. With a reply to
//! the kth transmission: of the k − 1 before, j − 1 arrived in vain.
//!
//! ```text
//! P(E = j, no reply)     C(n, j) · (p(1 − p))^j · p^(n − j)
//! P(E = j, reply)        Σ k=j..n  C(k − 1, j − 1) · (p(1 − p))^(j−1) · p^(k − j) · s
//! mean of E              Σ i=0..n−1  (1 − s)^i · (1 − p)  =  (1 − (1 − s)^n) / (1 − p)
//! ```
//!
//! **`maybe`.** One datagram, which is doubled with d, and of which each copy is dropped with p, else
//! damaged with c, by itself: a copy fails with q = 1 − (1 − p)(1 − c). The window lets one run.
//!
//! ```text
//! ran                    1 − (1 − d)·q − d·q²
//! ```

use rpc_runtime::time::Duration;

/// The deadline that sees exactly `n` transmissions when the time-out stands at `floor`.
pub(crate) fn deadline(n: u32, floor: Duration) -> Duration {
    let doubled = 1 << (n - 1);
    let latest = match n {
        1 => Duration::ZERO,
        _ => floor + floor * (doubled - 2) * 5 / 4,
    };
    let next = floor * (2 * doubled - 1);
    (latest + next) / 2
}

/// The cells of `at_most_once`.
pub(crate) const OUTCOMES: [&str; 3] = ["replied", "ran_no_reply", "never_ran"];

/// Their probabilities, for `n` transmissions.
pub(crate) fn outcomes(p: f64, n: u32) -> [f64; 3] {
    let (vain, never) = (power(1.0 - success(p), n), power(p, n));
    [1.0 - vain, vain - never, never]
}

/// The probability of so many executions of an `at_least_once` call, for 0 to `n` of them: first
/// those of a call without a reply, then those of one with.
pub(crate) fn executions(p: f64, n: u32) -> Vec<f64> {
    let vain = p * (1.0 - p);
    let without = (0..=n).map(|j| choose(n, j) * power(vain, j) * power(p, n - j));
    let with = (0..=n).map(|j| match j {
        0 => 0.0,
        _ => (j..=n)
            .map(|k| choose(k - 1, j - 1) * power(vain, j - 1) * power(p, k - j) * success(p))
            .sum(),
    });
    without.chain(with).collect()
}

/// The mean number of executions of an `at_least_once` call.
pub(crate) fn mean_executions(p: f64, n: u32) -> f64 {
    (1.0 - power(1.0 - success(p), n)) / (1.0 - p)
}

/// The probability that a `maybe` call runs.
pub(crate) fn maybe_runs(p: f64, doubled: f64, damaged: f64) -> f64 {
    let fails = 1.0 - (1.0 - p) * (1.0 - damaged);
    1.0 - (1.0 - doubled) * fails - doubled * fails * fails
}

fn success(p: f64) -> f64 {
    (1.0 - p) * (1.0 - p)
}

fn power(base: f64, exponent: u32) -> f64 {
    base.powi(i32::try_from(exponent).unwrap_or(i32::MAX))
}

/// The binomial coefficient.
fn choose(n: u32, k: u32) -> f64 {
    (1..=k).map(|i| f64::from(n - k + i) / f64::from(i)).product()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PS: [f64; 4] = [0.0, 0.1, 0.5, 0.9];

    #[test]
    fn probabilities_sum_to_one() {
        for (p, n) in PS.into_iter().flat_map(|p| (1..9).map(move |n| (p, n))) {
            assert!((outcomes(p, n).iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert!((executions(p, n).iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn the_mean_of_the_executions_is_the_closed_form() {
        for (p, n) in PS.into_iter().flat_map(|p| (1..9).map(move |n| (p, n))) {
            let cells = executions(p, n);
            let mean: f64 = (0..=n)
                .zip(cells.iter().zip(&cells[n as usize + 1..]))
                .map(|(j, (without, with))| f64::from(j) * (without + with))
                .sum();
            assert!((mean - mean_executions(p, n)).abs() < 1e-12, "p {p}, n {n}");
        }
    }

    #[test]
    fn both_semantics_agree_on_what_never_ran_and_what_was_replied() {
        let (once, again) = (outcomes(0.3, 4), executions(0.3, 4));
        assert!((once[2] - again[0]).abs() < 1e-12);
        assert!((once[0] - again[5..].iter().sum::<f64>()).abs() < 1e-12);
    }

    #[test]
    fn a_deadline_lies_between_two_transmissions() {
        let floor = Duration::from_millis(20);
        assert_eq!(deadline(1, floor), floor / 2);
        assert_eq!(deadline(2, floor), floor * 2);
        assert_eq!(deadline(3, floor), floor * 21 / 4, "3.5 T is the latest third, 7 T the next");
    }
}
