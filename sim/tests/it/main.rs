//! Integration tests: schedules without violations, repeatability, and mistakes that are found.

#[cfg(feature = "seeded-bugs")]
mod bugs;
mod cluster;
#[cfg(feature = "seeded-bugs")]
mod cluster_bugs;
mod schedules;
