//! Groups of members, deterministic: three or five over simulated disks and a network in memory.
//!
//! `ledger`: the state machine. `net`: the network. `world`: members, time, and what must always hold.
//! `elections`, `gathering`, `held`, `reads`, `snapshots`, `members`: scripts. `chaos`: seeds.
//! `threads`: the same with threads. `hanging`, `turns`: what only members with threads have.
mod chaos;
mod elections;
mod gathering;
mod hanging;
mod held;
mod ledger;
mod members;
mod net;
mod reads;
mod snapshots;
mod threads;
mod turns;
mod world;
