//! What a ride is and which steps it may take. Pure: no clock, no store, no network. Everything that moves a ride, in any
//! role, asks [`step`] first.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place on the map, in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Latitude, -90 to 90.
    pub lat: f64,
    /// Longitude, -180 to 180.
    pub lng: f64,
}

/// Identity of a ride, given by trips when it is first asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RideId(pub String);

/// Identity of a driver, given by the driver's own application.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DriverId(pub String);

/// Where a ride stands. The states that need a driver carry one, so a ride "on trip with nobody" cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Phase {
    /// Waiting for a driver to be proposed.
    Requested,
    /// Proposed to one driver, who has not answered yet.
    Offered {
        /// Who is asked.
        driver: DriverId,
    },
    /// The driver accepted.
    Assigned {
        /// Who accepted.
        driver: DriverId,
    },
    /// The driver is on the way to the rider.
    EnRoute {
        /// Who drives.
        driver: DriverId,
    },
    /// The rider is in the car.
    OnTrip {
        /// Who drives.
        driver: DriverId,
    },
    /// The rider has arrived; the ride is charged.
    Completed {
        /// Who drove.
        driver: DriverId,
    },
    /// The rider called it off.
    Cancelled,
    /// Nobody was found in time, or the driver went silent.
    Expired,
}

impl Phase {
    /// The driver this ride occupies or was driven by.
    pub fn driver(&self) -> Option<&DriverId> {
        match self {
            Self::Offered { driver }
            | Self::Assigned { driver }
            | Self::EnRoute { driver }
            | Self::OnTrip { driver }
            | Self::Completed { driver } => Some(driver),
            Self::Requested | Self::Cancelled | Self::Expired => None,
        }
    }

    /// The name used in the API, in the database and as a metric label.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Offered { .. } => "offered",
            Self::Assigned { .. } => "assigned",
            Self::EnRoute { .. } => "en_route",
            Self::OnTrip { .. } => "on_trip",
            Self::Completed { .. } => "completed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// The inverse of [`Phase::name`] and [`Phase::driver`]; `None` for a pair that is no phase.
    pub fn from_parts(name: &str, driver: Option<String>) -> Option<Self> {
        match (name, driver.map(DriverId)) {
            ("requested", None) => Some(Self::Requested),
            ("cancelled", None) => Some(Self::Cancelled),
            ("expired", None) => Some(Self::Expired),
            ("offered", Some(driver)) => Some(Self::Offered { driver }),
            ("assigned", Some(driver)) => Some(Self::Assigned { driver }),
            ("en_route", Some(driver)) => Some(Self::EnRoute { driver }),
            ("on_trip", Some(driver)) => Some(Self::OnTrip { driver }),
            ("completed", Some(driver)) => Some(Self::Completed { driver }),
            _ => None,
        }
    }

    /// Whether nothing further can happen to the ride.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed { .. } | Self::Cancelled | Self::Expired)
    }

    /// Whether the ride occupies its driver: at most one such ride may exist for a driver.
    pub fn occupies_driver(&self) -> bool {
        self.driver().is_some() && !self.is_terminal()
    }

    /// How far the driver has come, or `None` outside the driver's part of the life.
    fn progress(&self) -> Option<u8> {
        match self {
            Self::Offered { .. } => Some(1),
            Self::Assigned { .. } => Some(2),
            Self::EnRoute { .. } => Some(3),
            Self::OnTrip { .. } => Some(4),
            Self::Completed { .. } => Some(5),
            Self::Requested | Self::Cancelled | Self::Expired => None,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.driver() {
            Some(driver) => write!(f, "{} ({})", self.name(), driver.0),
            None => f.write_str(self.name()),
        }
    }
}

/// What a driver can do with a ride that was offered to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriverAction {
    /// Take the offer.
    Accept,
    /// Refuse the offer: the ride is offered to somebody else.
    Decline,
    /// Set off towards the rider.
    Depart,
    /// The rider is on board.
    Pickup,
    /// Arrived.
    Complete,
}

impl DriverAction {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Accept, Self::Decline, Self::Depart, Self::Pickup, Self::Complete];

    /// The name used in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Decline => "decline",
            Self::Depart => "depart",
            Self::Pickup => "pickup",
            Self::Complete => "complete",
        }
    }
}

/// Everything that can move a ride.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The matcher proposes a driver.
    Offer(DriverId),
    /// The driver acts.
    Driver(DriverId, DriverAction),
    /// The rider calls the ride off.
    Cancel,
    /// The offer was not answered in time.
    Lapse,
    /// Nobody was found in time.
    Expire,
    /// The driver went silent for too long.
    Abandon,
}

/// What an action does to a ride.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The ride moves on.
    Move(Phase),
    /// The same action was done before: answering "done" again is safe, and is what makes retries safe.
    Already,
}

/// An action that does not fit the ride's phase.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ride is {phase}: {action:?} does not apply")]
pub struct Refusal {
    /// Where the ride stands.
    pub phase: Phase,
    /// What was tried.
    pub action: Action,
}

/// What `action` does to a ride in `phase`. The one definition of legal steps.
///
/// # Errors
/// [`Refusal`] when the action does not fit the phase or comes from a driver the ride is not with.
pub fn step(phase: &Phase, action: &Action) -> Result<Step, Refusal> {
    let refused = || Err(Refusal { phase: phase.clone(), action: action.clone() });
    match (phase, action) {
        (Phase::Requested, Action::Offer(driver)) => Ok(Step::Move(Phase::Offered { driver: driver.clone() })),
        (Phase::Offered { driver }, Action::Offer(again)) if driver == again => Ok(Step::Already),
        (Phase::Offered { .. }, Action::Lapse) => Ok(Step::Move(Phase::Requested)),
        (Phase::Requested, Action::Expire) => Ok(Step::Move(Phase::Expired)),
        (Phase::Assigned { .. } | Phase::EnRoute { .. } | Phase::OnTrip { .. }, Action::Abandon) => {
            Ok(Step::Move(Phase::Expired))
        }
        (Phase::Cancelled, Action::Cancel) => Ok(Step::Already),
        (Phase::Requested | Phase::Offered { .. } | Phase::Assigned { .. } | Phase::EnRoute { .. }, Action::Cancel) => {
            Ok(Step::Move(Phase::Cancelled))
        }
        (_, Action::Driver(driver, act)) if phase.driver() == Some(driver) => {
            driver_step(phase, driver, *act).map_or_else(refused, Ok)
        }
        _ => refused(),
    }
}

/// The driver's part of [`step`]; the ride is known to be with this driver.
fn driver_step(phase: &Phase, driver: &DriverId, action: DriverAction) -> Option<Step> {
    let now = phase.progress()?;
    let driver = driver.clone();
    let (needs, next) = match action {
        DriverAction::Decline => return (now == 1).then_some(Step::Move(Phase::Requested)),
        DriverAction::Accept => (1, Phase::Assigned { driver }),
        DriverAction::Depart => (2, Phase::EnRoute { driver }),
        DriverAction::Pickup => (3, Phase::OnTrip { driver }),
        DriverAction::Complete => (4, Phase::Completed { driver }),
    };
    match now.cmp(&needs) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => Some(Step::Move(next)),
        std::cmp::Ordering::Greater => Some(Step::Already),
    }
}

/// Whether some action leads from one phase to the other: what an auditor holds the ledger against.
pub fn is_legal(from: &Phase, to: &Phase) -> bool {
    let driver = from.driver().or_else(|| to.driver()).cloned();
    let drivers = driver.into_iter().flat_map(|driver| {
        let offer = Action::Offer(driver.clone());
        DriverAction::ALL.map(|act| Action::Driver(driver.clone(), act)).into_iter().chain([offer])
    });
    drivers
        .chain([Action::Cancel, Action::Lapse, Action::Expire, Action::Abandon])
        .any(|action| step(from, &action) == Ok(Step::Move(to.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> DriverId {
        DriverId("ann".into())
    }

    fn act(action: DriverAction) -> Action {
        Action::Driver(ann(), action)
    }

    #[test]
    fn a_ride_goes_from_request_to_completion_and_every_repeat_is_harmless() {
        let life = [
            Action::Offer(ann()),
            act(DriverAction::Accept),
            act(DriverAction::Depart),
            act(DriverAction::Pickup),
            act(DriverAction::Complete),
        ];
        let mut phase = Phase::Requested;
        for action in &life {
            let Ok(Step::Move(next)) = step(&phase, action) else { panic!("{phase} refused {action:?}") };
            assert!(is_legal(&phase, &next), "{phase} -> {next}");
            assert_eq!(step(&next, action), Ok(Step::Already), "a retried {action:?} must be answered as done");
            phase = next;
        }
        assert_eq!(phase, Phase::Completed { driver: ann() });
        for action in &life[1..] {
            assert_eq!(step(&phase, action), Ok(Step::Already), "a late retry of {action:?}");
        }
    }

    #[test]
    fn another_driver_can_do_nothing_with_the_ride() {
        let bob = DriverId("bob".into());
        for name in ["offered", "assigned", "en_route", "on_trip", "completed"] {
            let phase = Phase::from_parts(name, Some("ann".into())).unwrap();
            for action in [DriverAction::Accept, DriverAction::Decline, DriverAction::Pickup, DriverAction::Complete] {
                assert!(step(&phase, &Action::Driver(bob.clone(), action)).is_err(), "{phase} {action:?}");
            }
            assert!(step(&phase, &Action::Offer(bob.clone())).is_err());
        }
    }

    #[test]
    fn terminal_rides_never_move() {
        let ends = [Phase::Completed { driver: ann() }, Phase::Cancelled, Phase::Expired];
        let all = [
            Action::Offer(ann()),
            act(DriverAction::Accept),
            act(DriverAction::Decline),
            act(DriverAction::Complete),
            Action::Cancel,
            Action::Lapse,
            Action::Expire,
            Action::Abandon,
        ];
        for phase in &ends {
            for action in &all {
                assert!(!matches!(step(phase, action), Ok(Step::Move(_))), "{phase} moved by {action:?}");
            }
        }
    }

    #[test]
    fn names_round_trip() {
        for (name, driver) in [("requested", None), ("offered", Some("a")), ("completed", Some("a")), ("expired", None)]
        {
            let phase = Phase::from_parts(name, driver.map(Into::into)).unwrap();
            assert_eq!((phase.name(), phase.driver().map(|d| d.0.as_str())), (name, driver));
        }
        assert_eq!(Phase::from_parts("on_trip", None), None);
        assert_eq!(Phase::from_parts("requested", Some("a".into())), None);
    }

    #[test]
    fn jumps_are_not_legal() {
        let assigned = Phase::Assigned { driver: ann() };
        assert!(!is_legal(&Phase::Requested, &assigned));
        assert!(!is_legal(&assigned, &Phase::Assigned { driver: DriverId("bob".into()) }));
        assert!(!is_legal(&assigned, &Phase::Completed { driver: ann() }));
        assert!(is_legal(&assigned, &Phase::Cancelled));
    }
}
