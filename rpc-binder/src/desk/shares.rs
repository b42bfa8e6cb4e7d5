//! What each host holds of what all share, so that one cannot shut the others out.
//!
//! A host may take as much as is left over for all others then: half of it where it is alone, and less the more
//! others hold (A. Choudhury, E. Hahne, "Dynamic queue length thresholds for shared-memory packet switches",
//! IEEE/ACM Transactions on Networking, 1998).

use std::collections::BTreeMap;

use rpc_runtime::address::Host;
use rpc_runtime::binder::{BinderError, Limit};
use rpc_runtime::context;

/// Who holds how many of something.
#[derive(Debug)]
pub(super) struct Shares {
    by_host: BTreeMap<Host, usize>,
    total: usize,
    max: usize,
    of_all: Limit,
    of_host: Limit,
}

impl Shares {
    /// Of something of which there may be `max`.
    pub(super) const fn new(max: usize, of_all: Limit, of_host: Limit) -> Self {
        Self { by_host: BTreeMap::new(), total: 0, max, of_all, of_host }
    }

    /// Takes one for `host`; the binder's own process has no share.
    pub(super) fn take(&mut self, host: Option<Host>) -> Result<(), BinderError> {
        let limit =
            |of, max| Err(BinderError::Limit { of, max: u32::try_from(max).unwrap_or(u32::MAX) });
        let held = host.and_then(|host| self.by_host.get(&host)).copied().unwrap_or(0);
        if self.total >= self.max {
            return limit(self.of_all, self.max);
        }
        if held + self.total >= self.max {
            return limit(self.of_host, held);
        }
        self.retake(host);
        Ok(())
    }

    /// Takes one that was given back a moment ago.
    pub(super) fn retake(&mut self, host: Option<Host>) {
        self.total += 1;
        if let Some(host) = host {
            *self.by_host.entry(host).or_default() += 1;
        }
    }

    /// Gives one back.
    pub(super) fn give_back(&mut self, host: Option<Host>) {
        self.total -= 1;
        let Some(host) = host else { return };
        if let Some(held) = self.by_host.get_mut(&host) {
            *held -= 1;
            if *held == 0 {
                self.by_host.remove(&host);
            }
        }
    }
}

/// From where the call under service comes.
pub(super) fn asking_host() -> Option<Host> {
    context::current().map(|call| call.caller().address.host())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(max: usize) -> Shares {
        Shares::new(max, Limit::Requests, Limit::RequestsOfHost)
    }

    fn fill(shares: &mut Shares, host: Host) -> usize {
        std::iter::repeat_with(|| shares.take(Some(host))).take_while(Result::is_ok).count()
    }

    #[test]
    fn a_host_that_takes_all_it_can_leaves_half_to_the_others() {
        let mut shares = shares(100);
        let [noisy, quiet] = [1, 2].map(Host::Virtual);
        assert_eq!(fill(&mut shares, noisy), 50);
        let refusal = shares.take(Some(noisy)).unwrap_err();
        assert_eq!(refusal, BinderError::Limit { of: Limit::RequestsOfHost, max: 50 });
        assert_eq!(fill(&mut shares, quiet), 25, "and half of the rest to the next");
        for _ in 0..50 {
            shares.give_back(Some(noisy));
        }
        assert_eq!(fill(&mut shares, quiet), 25, "up to half of all");
        assert_eq!(shares.by_host.len(), 1, "who holds nothing is forgotten");
    }

    #[test]
    fn the_limit_of_all_holds_for_all() {
        let mut shares = shares(3);
        for _ in 0..3 {
            shares.take(None).unwrap();
        }
        let refusal = BinderError::Limit { of: Limit::Requests, max: 3 };
        assert_eq!(shares.take(None), Err(refusal.clone()));
        assert_eq!(shares.take(Some(Host::Virtual(1))), Err(refusal));
    }
}
