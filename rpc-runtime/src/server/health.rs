//! Whether a service can do what it promises: what its server was told, and what it answers.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

/// Whether a service can do what it promises, as its server says.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It can.
    #[default]
    Serving,
    /// It cannot now: clients go elsewhere until it can again.
    NotServing,
}

impl Health {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::NotServing => "not serving",
        }
    }
}

/// How a service is, or a whole server: the answer to [`HealthCheck::check`](super::HealthCheck).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// It can do what it promises.
    Serving,
    /// The server ends what it has begun, and begins nothing more.
    Draining,
    /// It cannot do what it promises now.
    NotServing,
    /// The server has no such service.
    Unknown,
}

/// How the services of a server are, as somebody has said.
#[derive(Debug)]
pub(super) struct Wellbeing {
    /// Each service's name, and whether it cannot serve now.
    services: Box<[(&'static str, AtomicBool)]>,
    is_draining: AtomicBool,
}

impl Wellbeing {
    /// That of services of which nobody has said anything.
    pub(super) fn of(names: impl Iterator<Item = &'static str>) -> Self {
        let services = names.map(|name| (name, AtomicBool::new(false))).collect();
        Self { services, is_draining: AtomicBool::new(false) }
    }

    /// Says how a service is from now on, and whether there is one of that name.
    pub(super) fn set(&self, service: &str, health: Health) -> bool {
        let named = self.services.iter().find(|(name, _)| *name == service);
        if let Some((_, is_ill)) = named {
            is_ill.store(health == Health::NotServing, Ordering::SeqCst);
        }
        named.is_some()
    }

    pub(super) fn drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
    }

    /// How a service is, by its number.
    pub(super) fn health(&self, service: usize) -> Health {
        let is_ill =
            self.services.get(service).is_some_and(|(_, is_ill)| is_ill.load(Ordering::SeqCst));
        if is_ill { Health::NotServing } else { Health::Serving }
    }

    /// The services' names.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.services.iter().map(|(name, _)| *name)
    }

    /// How a service is, or the whole server where the name is empty: that serves as long as one of its
    /// services does.
    pub(super) fn check(&self, service: &str) -> HealthStatus {
        let is_whole = service.is_empty();
        let mut asked = self.services.iter().filter(|(name, _)| is_whole || *name == service);
        let is_ill = asked.clone().all(|(_, is_ill)| is_ill.load(Ordering::SeqCst));
        if asked.next().is_none() && !is_whole {
            HealthStatus::Unknown
        } else if self.is_draining.load(Ordering::SeqCst) {
            HealthStatus::Draining
        } else if is_ill && !self.services.is_empty() {
            HealthStatus::NotServing
        } else {
            HealthStatus::Serving
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_serves_as_long_as_one_of_its_services_does() {
        let well = Wellbeing::of(["bank", "till"].into_iter());
        assert_eq!(
            ["", "bank", "shop"].map(|name| well.check(name)),
            [HealthStatus::Serving, HealthStatus::Serving, HealthStatus::Unknown]
        );
        assert!(well.set("bank", Health::NotServing) && !well.set("shop", Health::NotServing));
        assert_eq!(
            ["", "bank", "till"].map(|name| well.check(name)),
            [HealthStatus::Serving, HealthStatus::NotServing, HealthStatus::Serving]
        );
        assert_eq!(
            [0, 1, 2].map(|number| well.health(number)),
            [Health::NotServing, Health::Serving, Health::Serving]
        );
        assert!(well.set("till", Health::NotServing));
        assert_eq!(well.check(""), HealthStatus::NotServing);
        well.drain();
        assert_eq!(
            ["", "till", "shop"].map(|name| well.check(name)),
            [HealthStatus::Draining, HealthStatus::Draining, HealthStatus::Unknown]
        );
    }

    #[test]
    fn a_server_without_services_serves() {
        assert_eq!(Wellbeing::of([].into_iter()).check(""), HealthStatus::Serving);
    }
}
