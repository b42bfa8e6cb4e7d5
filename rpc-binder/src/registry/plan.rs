//! What a request comes to, before and after it is kept.
//!
//! Plans of one batch are kept together, so none may depend on another: a request that would is put
//! off to the next batch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rpc_runtime::binder::{
    BinderError, Lease, MethodDescription, Place, Registration, RegistrationId, Secret, Version,
};
use rpc_runtime::ids::ServerId;
use rpc_runtime::time::Instant;

use super::marks::Marks;
use super::record::{Kept, Record, place};
use super::{Registry, interfaces, millis};

/// Upper bound of what the fields of fixed size add to a registration, in bytes.
const FIXED_BYTES_MAX: usize = 200;

/// What somebody asks for that is to last.
#[derive(Clone, Debug)]
pub enum Request {
    /// To be registered, or to be so still. [`Limits::check`](super::Limits::check) has found nothing wrong.
    Register {
        /// The server and its service.
        registration: Registration,
        /// The interface, unless the binder may know it.
        methods: Option<Arc<[MethodDescription]>>,
    },
    /// To be marked. Only where others need to learn of it from the store, and from nobody outside.
    Mark {
        /// Registrations of one server.
        ids: Vec<RegistrationId>,
        /// With what.
        set: Marks,
        /// With what no longer.
        clear: Marks,
    },
    /// To be registered no more.
    Deregister {
        /// What was given for the registration.
        id: RegistrationId,
        /// What proves it.
        secret: Secret,
    },
}

/// What a request comes to.
#[derive(Debug)]
pub enum Planned {
    /// Nothing.
    Refused(BinderError),
    /// Something to be kept.
    Plan(Plan),
    /// It depends on what else is in the batch.
    NotYet(Request),
}

/// What is to be kept, and then to be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Registrations that end.
    ends: Vec<RegistrationId>,
    /// Ends that come from a lease's end: these are shown for a while.
    expires: Vec<RegistrationId>,
    /// One that begins, or is given another form.
    begins: Option<(RegistrationId, Kept)>,
    /// Whether that one's id and secret were drawn for this plan: nobody knows them then.
    is_drawn: bool,
    interface: Option<Described>,
    /// Registrations, and all that is marked of them from then on.
    marks: Vec<(RegistrationId, Marks)>,
}

/// The interface of a registration that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Described {
    fingerprint: u128,
    methods: Arc<[MethodDescription]>,
    /// Whether the store does not have it.
    is_new: bool,
}

/// One thing to be kept, or to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'p> {
    /// The end of an interface that nobody has any more.
    Forget(u128),
    /// An interface, by its fingerprint.
    Describe(u128, &'p [MethodDescription]),
    /// A registration.
    Begin(RegistrationId, &'p Kept),
    /// What is marked of a registration.
    Mark(RegistrationId, Marks),
    /// The end of one.
    End(RegistrationId),
}

impl Plan {
    /// What is to be kept.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        let ends = self.ends.iter().chain(&self.expires).map(|id| Change::End(*id));
        let new = self.interface.iter().filter(|interface| interface.is_new);
        let describes = new.map(|new| Change::Describe(new.fingerprint, &new.methods));
        let begins = self.begins.iter().map(|(id, kept)| Change::Begin(*id, kept));
        let marks = self.marks.iter().map(|(id, marks)| Change::Mark(*id, *marks));
        ends.chain(describes).chain(begins).chain(marks)
    }

    /// The interface that the registration has which begins.
    #[must_use]
    pub fn begins_with(&self) -> Option<u128> {
        self.interface.as_ref().map(|interface| interface.fingerprint)
    }

    /// The registration that begins, and what its owner proves it by.
    #[must_use]
    pub fn begins(&self) -> Option<(RegistrationId, Secret)> {
        self.begins.as_ref().map(|(id, kept)| (*id, kept.secret))
    }

    /// The same, if nobody knows them yet.
    pub(super) fn drawn(&self) -> Option<(RegistrationId, Secret)> {
        self.begins().filter(|_| self.is_drawn)
    }

    /// The registration that is given another form, or begins once more: its owner knows it already.
    #[must_use]
    pub fn begins_again(&self) -> Option<RegistrationId> {
        self.begins().filter(|_| !self.is_drawn).map(|(id, _)| id)
    }

    /// Upper bound of what its changes take, in bytes, names of keys not counted.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let new = self.interface.as_ref().filter(|interface| interface.is_new);
        let methods = new.map_or(0, |new| interfaces::bytes(&new.methods));
        let registration = self.begins.as_ref().map_or(0, |(_, kept)| {
            let Registration { name, addresses, traits, .. } = &kept.registration;
            let addresses: usize = addresses.iter().map(|address| address.len() + 2).sum();
            name.len() + addresses + traits.page_bytes() + FIXED_BYTES_MAX
        });
        methods + registration
    }

    /// The registrations that it touches.
    pub fn touches(&self) -> impl Iterator<Item = RegistrationId> {
        self.changes().filter_map(|change| match change {
            Change::Forget(_) | Change::Describe(..) | Change::Mark(..) => None,
            Change::Begin(id, _) | Change::End(id) => Some(id),
        })
    }
}

/// What the plans of one batch are about.
#[derive(Debug, Default)]
pub struct Batch {
    servers: BTreeSet<ServerId>,
    /// By name and major version: the one interface that begins there.
    interfaces: BTreeMap<(String, u16), (Version, u128)>,
    pub(super) begins: usize,
    pub(super) description_bytes: usize,
}

impl Registry {
    /// What `request` comes to, beside what else is in the batch.
    ///
    /// A later life of a server takes the place of an earlier one, with all that was registered: if
    /// it has the earlier one's claim at once, else when that one's lease is over. So nobody strikes
    /// off a server whose claim he does not know.
    pub fn plan(&mut self, now: Instant, request: Request, batch: &mut Batch) -> Planned {
        let planned = match request {
            Request::Register { registration, methods } => {
                self.plan_register(now, registration, methods, batch)
            }
            Request::Mark { ids, set, clear } => self.plan_mark(ids, (set, clear), batch),
            Request::Deregister { id, secret } => self.plan_deregister(id, secret, batch),
        };
        match planned {
            Ok(planned) => planned,
            Err(refusal) => Planned::Refused(refusal),
        }
    }

    fn plan_register(
        &mut self,
        now: Instant,
        registration: Registration,
        methods: Option<Arc<[MethodDescription]>>,
        batch: &mut Batch,
    ) -> Result<Planned, BinderError> {
        debug_assert_eq!(self.limits.check(&registration, methods.as_deref()), Ok(()));
        let wish = (registration.name.clone(), registration.version.major);
        let interface = (registration.version, registration.fingerprint);
        let is_beside_another = batch.interfaces.get(&wish).is_some_and(|one| *one != interface);
        if batch.servers.contains(&registration.server) || is_beside_another {
            return Ok(Planned::NotYet(Request::Register { registration, methods }));
        }
        self.check_identity(now, &registration)?;
        let fingerprint = registration.fingerprint;
        let known = self.interfaces.get(fingerprint).cloned();
        let is_new = known.is_none();
        let methods = known.or(methods).ok_or(BinderError::UnknownInterface)?;
        let here = place(&registration);
        self.check_fit(&here, &methods)?;
        let same = self.names.at(&here).filter(|id| self.records[id].is_of(now, &registration));
        let is_drawn = same.is_none();
        let (id, secret) = match same {
            Some(id) => (id, self.records[&id].kept.secret),
            None => self.draw(),
        };
        let ends = self.replaced_by(&registration, &here, id);
        let described = Described { fingerprint, methods, is_new };
        self.check_room(&registration, id, &ends, is_new.then_some(&*described.methods), batch)?;
        batch.servers.insert(registration.server);
        batch.interfaces.insert(wish, interface);
        let begins = Some((id, Kept { registration, secret }));
        let interface = Some(described);
        Ok(Planned::Plan(Plan { ends, begins, is_drawn, interface, ..Plan::default() }))
    }

    fn plan_deregister(
        &self,
        id: RegistrationId,
        secret: Secret,
        batch: &mut Batch,
    ) -> Result<Planned, BinderError> {
        // Also one whose lease is over: that it ended is told once that is kept.
        let of = self.records.get(&id).map(|record| record.kept.registration.server);
        if of.is_some_and(|server| batch.servers.contains(&server)) {
            return Ok(Planned::NotYet(Request::Deregister { id, secret }));
        }
        self.check_end(id, secret)?;
        batch.servers.extend(of);
        Ok(Planned::Plan(Plan { ends: vec![id], ..Plan::default() }))
    }

    fn plan_mark(
        &self,
        ids: Vec<RegistrationId>,
        (set, clear): (Marks, Marks),
        batch: &mut Batch,
    ) -> Result<Planned, BinderError> {
        let known = ids.iter().filter_map(|id| Some((*id, self.records.get(id)?)));
        let known: Vec<(_, &Record)> = known.filter(|(_, record)| !record.is_gone).collect();
        if known.is_empty() {
            return Err(BinderError::UnknownRegistration);
        }
        let servers = known.iter().map(|(_, record)| record.kept.registration.server);
        let servers: BTreeSet<_> = servers.collect();
        if !servers.is_disjoint(&batch.servers) {
            return Ok(Planned::NotYet(Request::Mark { ids, set, clear }));
        }
        batch.servers.extend(servers);
        let marks = known.into_iter().filter_map(|(id, record)| {
            let marks = record.marks.without(clear).with(set);
            (marks != record.marks).then_some((id, marks))
        });
        Ok(Planned::Plan(Plan { marks: marks.collect(), ..Plan::default() }))
    }

    /// What time has ended, but for servers that the batch is about.
    pub fn due(&mut self, now: Instant, batch: &Batch) -> Option<Plan> {
        let mut expires = Vec::new();
        let mut later = Vec::new();
        while let Some(&(look, id)) = self.looks.first()
            && look <= now
        {
            self.looks.remove(&(look, id));
            let kept = self.limits.expired_kept;
            let record = self.records.get(&id).expect("looks are for records");
            let next = if record.is_gone { record.lease_end + kept } else { record.lease_end };
            if next <= now && record.is_gone {
                self.remove(id);
                continue;
            }
            let is_in_batch = batch.servers.contains(&record.kept.registration.server);
            if next <= now && !is_in_batch {
                expires.push(id);
                self.record_mut(id).is_ending = true;
            }
            later.push((next, id));
        }
        for (next, id) in later {
            // What is about to expire is looked at again should that not be kept.
            self.look_again(next.max(now + super::record::LOOK_AGAIN), id);
        }
        (!expires.is_empty()).then(|| Plan { expires, ..Plan::default() })
    }

    fn look_again(&mut self, at: Instant, id: RegistrationId) {
        let record = self.record_mut(id);
        record.look = at;
        self.looks.insert((at, id));
    }

    /// Has clients see what was kept. Gives the new lease, if one begins.
    pub fn apply(&mut self, now: Instant, plan: Plan) -> Option<Lease> {
        for id in plan.ends {
            self.remove(id);
        }
        for id in plan.expires {
            // Renewed it cannot be any more; taken the place of, perhaps.
            self.only_show(id);
        }
        for (id, marks) in plan.marks {
            self.set_marks(now, id, marks);
        }
        if let Some(Described { fingerprint, methods, .. }) = plan.interface {
            self.interfaces.add(fingerprint, &methods);
        }
        let (id, kept) = plan.begins?;
        let secret = kept.secret;
        self.insert(now, id, kept);
        let lease_ms = millis(self.limits.lease);
        Some(Lease { id, secret, lease_ms, is_asked_to_drain: self.is_asked_to_drain(id) })
    }

    /// The store has forgotten a registration whose lease is over. It is shown for a while.
    pub(super) fn only_show(&mut self, id: RegistrationId) {
        let Some(record) = self.records.get_mut(&id) else { return };
        record.is_gone = true;
        self.gone.insert((record.lease_end, id));
        let (old, next) = (record.look, record.lease_end + self.limits.expired_kept);
        let (place, fingerprint) = (record.place(), record.kept.registration.fingerprint);
        self.offers.remove(&place, fingerprint);
        self.looks.remove(&(old, id));
        self.look_again(next, id);
        self.touch(&place.name);
        self.forget_poll(id);
    }

    /// Takes in what a store has kept over the binder's former lives. Every registration has one whole
    /// lease to be renewed in. Gives those for which there is no place, for the store to forget.
    pub fn restore(
        &mut self,
        now: Instant,
        interfaces: Vec<(u128, Vec<MethodDescription>)>,
        kept: Vec<(RegistrationId, Kept)>,
    ) -> BTreeSet<RegistrationId> {
        let interfaces: BTreeMap<_, Arc<[_]>> =
            interfaces.into_iter().map(|(print, methods)| (print, methods.into())).collect();
        let mut ids = BTreeSet::new();
        for (id, kept) in kept {
            ids.insert(id);
            let fingerprint = kept.registration.fingerprint;
            if let Some(methods) = interfaces.get(&fingerprint) {
                self.interfaces.add(fingerprint, methods);
                self.insert(now, id, kept);
            }
        }
        ids.retain(|id| !self.records.contains_key(id));
        ids
    }

    /// What a restart has to find.
    pub fn all_kept(&self) -> impl Iterator<Item = (RegistrationId, &Kept)> {
        let records = self.names.all_after(None).map(|id| (id, &self.records[&id]));
        let kept = records.filter(|(_, record)| !record.is_gone);
        kept.map(|(id, record)| (id, &record.kept))
    }

    /// `plan` could not be kept.
    pub fn was_not_kept(&mut self, plan: &Plan) {
        for id in &plan.expires {
            if let Some(record) = self.records.get_mut(id) {
                record.is_ending = false;
            }
        }
    }

    /// The store could not forget these.
    pub fn keep_describing(&mut self, unneeded: Vec<u128>) {
        self.interfaces.put_back(unneeded);
    }

    /// Interfaces that nobody has any more, for the store to forget. To be asked before anything is
    /// planned that is kept together with that.
    pub fn unneeded(&mut self) -> Vec<u128> {
        self.interfaces.take_unneeded()
    }

    /// What a store has to keep to hold of a registration what is seen of it.
    #[must_use]
    pub fn repair(&self, id: RegistrationId) -> Plan {
        let Some(record) = self.records.get(&id).filter(|record| !record.is_gone) else {
            return Plan { ends: vec![id], ..Plan::default() };
        };
        let kept = record.kept.clone();
        let fingerprint = kept.registration.fingerprint;
        let methods = self.interfaces.get(fingerprint).cloned();
        let interface = methods.map(|methods| Described { fingerprint, methods, is_new: true });
        Plan { begins: Some((id, kept)), interface, ..Plan::default() }
    }

    /// The names under which `plan`, once applied, changes what is seen.
    #[must_use]
    pub fn names_of(&self, plan: &Plan) -> BTreeSet<String> {
        let marked = plan.marks.iter().map(|(id, _)| id);
        let touched = plan.ends.iter().chain(&plan.expires).chain(marked);
        let ended = touched.filter_map(|id| self.records.get(id)).map(|record| &record.kept);
        let kept = ended.chain(plan.begins.iter().map(|(_, kept)| kept));
        kept.map(|kept| kept.registration.name.clone()).collect()
    }

    fn draw(&mut self) -> (RegistrationId, Secret) {
        if let Some((id, secret)) = self.spare.pop()
            && !self.records.contains_key(&id)
        {
            return (id, secret);
        }
        let id = loop {
            let id = RegistrationId(self.rng.next_nonzero());
            if !self.records.contains_key(&id) {
                break id;
            }
        };
        let secret = u128::from(self.rng.next_u64()) << 64 | u128::from(self.rng.next_u64());
        (id, Secret(secret))
    }

    /// What ends when `new` begins as `id`: the server's earlier lives, and what stands in its place.
    fn replaced_by(
        &self,
        new: &Registration,
        place: &Place,
        id: RegistrationId,
    ) -> Vec<RegistrationId> {
        let former = self.of_server(new.server);
        let former = former.filter(|(other, record)| {
            let is_earlier = record.kept.registration.incarnation != new.incarnation;
            *other != id && (is_earlier || record.place() == *place)
        });
        former.map(|(other, _)| other).collect()
    }
}
