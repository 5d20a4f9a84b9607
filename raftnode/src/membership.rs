//! Who belongs to the cluster: ids, members, the rules of change, and etcd's v2 store that holds it
//! inside `.snap` files.
mod cluster;
mod id;
mod member;
mod v2store;

pub use cluster::{Cluster, MembershipChange, MembershipError};
pub use id::{cluster_id, member_id};
pub use member::{Attributes, ConfChangeContext, Member, RaftAttributes, to_json};
pub use v2store::V2Store;
