//! Who is registered under each name, and when that changed last.
//!
//! A name is found at once however many there are; all of them are gone through in order. Does not know
//! who of those is live.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::slice;
use std::sync::Arc;

use rpc_runtime::binder::{Place, RegistrationId, Revision, Version};
use rpc_runtime::ids::ServerId;

use super::records::Slot;
use super::table::{Key, Table};

/// A registration under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) version: Version,
    pub(super) server: ServerId,
    pub(super) id: RegistrationId,
    pub(super) slot: Slot,
}

impl Standing {
    const fn place(&self) -> (Version, ServerId) {
        (self.version, self.server)
    }
}

/// Those under one name, in order of version and server.
#[derive(Debug)]
enum Group {
    /// Most names have one server: it is found without another place to look at.
    One(Standing),
    /// None, or some.
    Some(Vec<Standing>),
}

impl Group {
    fn all(&self) -> &[Standing] {
        match self {
            Self::One(one) => slice::from_ref(one),
            Self::Some(all) => all,
        }
    }

    fn insert(&mut self, standing: Standing) {
        match self {
            Self::Some(all) if all.is_empty() => *self = Self::One(standing),
            Self::Some(all) => {
                all.insert(all.partition_point(|one| one.place() < standing.place()), standing);
            }
            Self::One(one) => {
                let mut both = vec![*one, standing];
                both.sort_unstable_by_key(Standing::place);
                *self = Self::Some(both);
            }
        }
    }

    fn remove(&mut self, at: usize) {
        match self {
            Self::One(_) => *self = Self::Some(Vec::new()),
            Self::Some(all) => drop(all.remove(at)),
        }
    }
}

/// What is known of one name.
#[derive(Debug)]
pub(super) struct Named {
    changed: Revision,
    group: Group,
}

impl Named {
    /// The last change under it.
    pub(super) const fn changed(&self) -> Revision {
        self.changed
    }

    /// Who is registered under it, which is `name`, but for those up to `place`, should it be one under that
    /// name.
    pub(super) fn after(&self, name: &str, place: Option<&Place>) -> &[Standing] {
        let standing = self.group.all();
        let after = place.filter(|place| place.name == name);
        let read = after.map_or(0, |place| {
            standing.partition_point(|one| one.place() <= (place.version, place.server))
        });
        &standing[read..]
    }
}

/// All names that somebody is registered under.
#[derive(Debug)]
pub(super) struct Names {
    by_name: Table<Arc<str>, Named>,
    in_order: BTreeSet<Arc<str>>,
}

impl Names {
    pub(super) fn new(key: Key) -> Self {
        Self { by_name: Table::new(key), in_order: BTreeSet::new() }
    }

    /// How many names there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.by_name.len(), self.in_order.len());
        self.in_order.len()
    }

    /// What is known of `name`, if somebody is registered under it.
    pub(super) fn get(&self, name: &str) -> Option<&Named> {
        self.by_name.get(name)
    }

    /// Who is registered under `name`, in order of version and server.
    fn under(&self, name: &str) -> &[Standing] {
        self.get(name).map_or(&[], |named| named.group.all())
    }

    /// Who is registered under `name`, in `version` and later ones.
    pub(super) fn under_since(&self, name: &str, version: Version) -> &[Standing] {
        let standing = self.under(name);
        &standing[standing.partition_point(|one| one.version < version)..]
    }

    pub(super) fn at(&self, place: &Place) -> Option<RegistrationId> {
        let standing = self.under(&place.name);
        let here = (place.version, place.server);
        standing.binary_search_by_key(&here, Standing::place).ok().map(|found| standing[found].id)
    }

    /// All of them after `after`, in order of name, version and server.
    pub(super) fn all_after<'a>(
        &'a self,
        after: Option<&'a Place>,
    ) -> impl Iterator<Item = RegistrationId> + 'a {
        let first = after.map_or("", |place| place.name.as_str());
        let names = self.in_order.range::<str, _>((Bound::Included(first), Bound::Unbounded));
        let named = names.filter_map(|name| Some((name, self.get(name)?)));
        named.flat_map(move |(name, named)| named.after(name, after)).map(|one| one.id)
    }

    pub(super) fn add(&mut self, place: &Place, id: RegistrationId, slot: Slot) {
        if !self.by_name.contains_key(place.name.as_str()) {
            let name: Arc<str> = place.name.as_str().into();
            self.in_order.insert(Arc::clone(&name));
            let named = Named { changed: Revision::NONE, group: Group::Some(Vec::new()) };
            self.by_name.insert(name, named);
        }
        let Some(named) = self.by_name.get_mut(place.name.as_str()) else { return };
        let Place { version, server, .. } = *place;
        named.group.insert(Standing { version, server, id, slot });
    }

    /// Says whether nobody is registered under that name any more.
    pub(super) fn remove(&mut self, place: &Place) -> bool {
        let Some(named) = self.by_name.get_mut(place.name.as_str()) else { return true };
        let here = (place.version, place.server);
        if let Ok(at) = named.group.all().binary_search_by_key(&here, Standing::place) {
            named.group.remove(at);
        }
        let is_last = named.group.all().is_empty();
        if is_last {
            self.by_name.remove(place.name.as_str());
            self.in_order.remove(place.name.as_str());
        }
        is_last
    }

    /// The last change under `name`, if somebody is registered under it.
    pub(super) fn changed(&self, name: &str) -> Option<Revision> {
        self.get(name).map(Named::changed)
    }

    /// Something changed under `name`.
    pub(super) fn touch(&mut self, name: &str, now: Revision) {
        if let Some(named) = self.by_name.get_mut(name) {
            named.changed = now;
        }
    }

    /// Something may have changed under any of them.
    pub(super) fn touch_all(&mut self, now: Revision) {
        self.by_name.change_all(|named| named.changed = now);
    }
}
