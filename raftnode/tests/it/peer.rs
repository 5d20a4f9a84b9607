//! The transport between members: among ourselves, and against real members of etcd.
//!
//! `member`: one end of the transport with a host that notes what it hears. `links`: messages, cuts,
//! removal. `snapshots`: databases. `answers`: what every request is answered, here and by etcd. `tls`:
//! certificates. `recorded`: the traffic of real clusters, decoded and encoded again. `among_etcd`: our
//! transport as a member of a real cluster. `proxy`: a link that can be recorded and disturbed.
mod among_etcd;
mod answers;
mod etcd;
mod links;
mod member;
mod proxy;
mod recorded;
mod snapshots;
mod tls;
