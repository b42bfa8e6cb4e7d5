//! Asking a binder for what its access rules may want a proof for, and for what is only shown.
//!
//! Knows that a binder gives a nonce first; does not know who may what.

use super::handle::Binder;
use super::key::{Key, Proof};
use super::model::BinderError;
use super::report::Reported;
use super::service::{Directory as _, DirectoryClient};
use crate::error::{CallError, Error, Result};
use crate::ids::ServerId;

/// How often a proof is made anew for one request: the nonce may be of a binder's former life.
const PROOFS_MAX: usize = 3;
/// Most registrations that are read at once, whatever the binder says.
const REPORTS_MAX: usize = 16_384;

impl Binder {
    /// Has clients leave a server, and the server drain when it renews its lease next: it ends the calls that it
    /// has, refuses new ones as not executed, and stops. With a `name` only clients of that service leave, and
    /// the server goes on. Says how many registrations that were.
    ///
    /// # Errors
    ///
    /// The binder does not answer; [`BinderError::UnknownServer`]; [`BinderError::NotAllowed`] by its access
    /// rules, or without any, from another machine than its own.
    pub fn drain(&self, server: ServerId, name: Option<&str>) -> Result<u32, BinderError> {
        self.with_proof(
            |directory, proof| directory.start().drain(server, name, proof).wait(),
            |key, nonce| key.prove_drain(nonce, server, name),
        )
    }

    /// All registrations, live or not, with what their servers said when they renewed last.
    ///
    /// # Errors
    ///
    /// The binder does not answer.
    pub fn reports(&self) -> std::result::Result<Vec<Reported>, CallError> {
        let until = self.world().now() + self.patience_max();
        let mut reports: Vec<Reported> = Vec::new();
        loop {
            let after = reports.last().map(|last| last.entry.place());
            let page = self.ask_until(until, |directory| directory.reports(after.as_ref()))?;
            let goes_forward = page.reports.last().map(|last| last.entry.place()) > after;
            reports.extend(page.reports);
            if !page.more || !goes_forward || reports.len() >= REPORTS_MAX {
                return Ok(reports);
            }
        }
    }

    /// Asks without a proof, and with one if the binder wants it: of several each that is silent has the
    /// whole patience, and none is shown a proof that another has given the nonce for.
    pub(super) fn with_proof<T>(
        &self,
        ask: impl Fn(&DirectoryClient, Option<&Proof>) -> Result<T, BinderError>,
        prove: impl Fn(&Key, u128) -> Proof,
    ) -> Result<T, BinderError> {
        self.ask_each(self.patience_max(), |directory| {
            self.prove_to(|proof| ask(directory, proof), &prove)
        })
    }

    /// As [`Self::with_proof`], of one binder.
    fn prove_to<T>(
        &self,
        ask: impl Fn(Option<&Proof>) -> Result<T, BinderError>,
        prove: impl Fn(&Key, u128) -> Proof,
    ) -> Result<T, BinderError> {
        let mut answer = ask(None);
        for _ in 0..PROOFS_MAX {
            let Err(Error::App(BinderError::ProofWanted { nonce, reason })) = &answer else {
                return answer;
            };
            let key =
                self.own_key().cloned().map_or_else(Key::from_environment, |key| Ok(Some(key)));
            let flaw = match key {
                Ok(Some(key)) => {
                    answer = ask(Some(&prove(&key, *nonce)));
                    continue;
                }
                Ok(None) => "this process has no key".to_owned(),
                Err(error) => error.to_string(),
            };
            return Err(Error::App(BinderError::NotAllowed {
                reason: format!("{reason}; {flaw}"),
            }));
        }
        answer
    }
}
