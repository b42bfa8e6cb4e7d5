//! Which interfaces are offered under each name and major version, and by how many: what a newcomer must
//! fit, however many servers there are.

use std::collections::BTreeMap;

use rpc_runtime::binder::{Place, Version};

/// An interface in a version.
pub(super) type Offer = (Version, u128);

/// Offers by name and major version.
#[derive(Debug, Default)]
pub(super) struct Offers {
    by_wish: BTreeMap<(String, u16), BTreeMap<Offer, u32>>,
}

impl Offers {
    pub(super) fn add(&mut self, place: &Place, fingerprint: u128) {
        let wish = (place.name.clone(), place.version.major);
        *self.by_wish.entry(wish).or_default().entry((place.version, fingerprint)).or_default() +=
            1;
    }

    pub(super) fn remove(&mut self, place: &Place, fingerprint: u128) {
        let wish = (place.name.clone(), place.version.major);
        let Some(offers) = self.by_wish.get_mut(&wish) else { return };
        let offer = (place.version, fingerprint);
        if let Some(servers) = offers.get_mut(&offer) {
            *servers -= 1;
            if *servers == 0 {
                offers.remove(&offer);
            }
        }
        if offers.is_empty() {
            self.by_wish.remove(&wish);
        }
    }

    /// Those under the name and major version of `place`, but for what one server has: `own`.
    pub(super) fn of_others(
        &self,
        place: &Place,
        own: impl Iterator<Item = Offer>,
    ) -> impl Iterator<Item = Offer> {
        let wish = (place.name.clone(), place.version.major);
        let mut offers = self.by_wish.get(&wish).cloned().unwrap_or_default();
        for offer in own {
            if let Some(servers) = offers.get_mut(&offer) {
                *servers = servers.saturating_sub(1);
            }
        }
        offers.into_iter().filter(|(_, servers)| *servers > 0).map(|(offer, _)| offer)
    }
}
