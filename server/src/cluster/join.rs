//! The first start of a member: of a new cluster, or into one that runs.
//!
//! Called by the start-up code on the main thread, before there is a log. Nothing is written here.
//! Source of the checks, their order and texts: etcd `server/etcdserver/bootstrap.go` and
//! `cluster_util.go`.
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use varve_raftnode::membership::{Cluster, Member, cluster_id, member_id};

use super::client::PeerClient;
use super::remote;
use crate::compat::minor;
use crate::config::{Config, Url};

/// How long a member of a cluster to be made is asked whether it runs already.
const BOOTSTRAPPED_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a member of a running cluster is asked for its members.
const MEMBERS_TIMEOUT: Duration = Duration::from_secs(10);
/// The oldest cluster a member joins.
const MIN_CLUSTER: (u32, u32) = (3, 0);

/// Who a member is when it starts for the first time.
#[derive(Debug)]
pub(crate) struct FirstStart {
    /// Its own id.
    pub(crate) id: u64,
    pub(crate) cluster_id: u64,
    /// A new cluster: its members, with which the log begins. Joining: nobody; the log comes from the
    /// leader.
    pub(crate) initial: Vec<Member>,
    /// Joining: the members as they answered, whom the joining member must be able to answer to.
    pub(crate) remotes: Vec<Member>,
}

/// What the flags describe, checked against whoever answers.
///
/// # Errors
/// A sentence for the operator.
pub(crate) async fn first_start(
    config: &Config,
    client: &PeerClient,
) -> Result<FirstStart, String> {
    if config.initial_cluster_is_new {
        new_cluster(config, client).await
    } else {
        join(config, client).await
    }
}

/// The members that the flags describe, with the ids that follow from them.
fn described(config: &Config) -> Result<Vec<Member>, String> {
    let members: Vec<Member> = config
        .initial_cluster
        .iter()
        .map(|(name, urls)| Member {
            id: member_id(urls, &config.initial_cluster_token, None),
            peer_urls: urls.clone(),
            name: name.clone(),
            ..Member::default()
        })
        .collect();
    let ids: BTreeSet<u64> = members.iter().map(|m| m.id).collect();
    if ids.len() != members.len() {
        return Err("member exists with identical ID".to_owned());
    }
    if ids.contains(&0) {
        return Err("cannot use 0 as member id".to_owned());
    }
    Ok(members)
}

/// URLs of everybody but this member, ascending.
fn others(members: &[Member], own_name: &str) -> Vec<String> {
    let mut urls: Vec<String> = members
        .iter()
        .filter(|m| m.name != own_name)
        .flat_map(|m| m.peer_urls.iter().cloned())
        .collect();
    urls.sort();
    urls
}

async fn new_cluster(config: &Config, client: &PeerClient) -> Result<FirstStart, String> {
    config.initial_cluster.verify_join(&config.name)?;
    let advertised: Vec<String> = config
        .initial_advertise_peer_urls
        .iter()
        .map(ToString::to_string)
        .collect();
    let mine = config
        .initial_cluster
        .urls(&config.name)
        .unwrap_or_default();
    if !same_urls(mine, &advertised).await {
        config
            .initial_cluster
            .verify(&config.name, &config.initial_advertise_peer_urls)?;
    }
    let members = described(config)?;
    let own = own(&members, &config.name)?;
    let timeout = BOOTSTRAPPED_TIMEOUT + config.election_timeout;
    let others = others(&members, &config.name);
    // Nobody answers when the whole cluster starts.
    if let Some(running) = remote::fetch_cluster(client, &others, timeout, false).await
        && running
            .member(own)
            .is_some_and(|m| !m.client_urls.is_empty())
    {
        return Err(format!("member {own:x} has already been bootstrapped"));
    }
    Ok(FirstStart {
        id: own,
        cluster_id: cluster_id(members.iter().map(|m| m.id)),
        initial: members,
        remotes: Vec::new(),
    })
}

async fn join(config: &Config, client: &PeerClient) -> Result<FirstStart, String> {
    config.initial_cluster.verify_join(&config.name)?;
    let mut local = described(config)?;
    let others = others(&local, &config.name);
    let Some(running) = remote::fetch_cluster(client, &others, MEMBERS_TIMEOUT, true).await else {
        return Err(
            "cannot fetch cluster info from peer urls: could not retrieve cluster information from \
             the given URLs"
                .to_owned(),
        );
    };
    assign_ids(&mut local, &running).await?;
    let own = own(&local, &config.name)?;
    let timeout = config.request_timeout();
    if !is_compatible(config, client, &running, own, timeout).await {
        return Err("incompatible with current running cluster".to_owned());
    }
    let learners = running.members().filter(|m| m.is_learner).count();
    if learners > config.max_learners {
        return Err("membership: too many learner members in cluster".to_owned());
    }
    Ok(FirstStart {
        id: own,
        cluster_id: running.cluster_id,
        initial: Vec::new(),
        remotes: running.members().filter(|m| m.id != own).cloned().collect(),
    })
}

fn own(members: &[Member], name: &str) -> Result<u64, String> {
    members
        .iter()
        .find(|m| m.name == name)
        .map(|m| m.id)
        .ok_or_else(|| {
            format!("couldn't find local name {name:?} in the initial cluster configuration")
        })
}

/// Gives the members of the flags the ids of the running members at the same URLs.
async fn assign_ids(local: &mut [Member], running: &Cluster) -> Result<(), String> {
    let refused = |why: String| {
        let peers: Vec<String> = running
            .members()
            .map(|m| format!("{:x}={}", m.id, m.peer_urls.join(",")))
            .collect();
        format!("error validating peerURLs {{{}}}: {why}", peers.join(" "))
    };
    if running.members().count() != local.len() {
        return Err(refused("member count is unequal".to_owned()));
    }
    for member in running.members() {
        let mut found = None;
        for (at, candidate) in local.iter().enumerate() {
            if same_urls(&member.peer_urls, &candidate.peer_urls).await {
                found = Some(at);
                break;
            }
        }
        match found {
            Some(at) => local[at].id = member.id,
            None => {
                return Err(refused(format!(
                    "PeerURLs: no match found for existing member ({:x}, [{}])",
                    member.id,
                    member.peer_urls.join(" ")
                )));
            }
        }
    }
    Ok(())
}

/// Whether two lists name the same listeners: by text, or by what the names resolve to.
async fn same_urls(a: &[String], b: &[String]) -> bool {
    let sorted = |urls: &[String]| {
        let mut urls = urls.to_vec();
        urls.sort();
        urls
    };
    if sorted(a) == sorted(b) {
        return true;
    }
    if a.len() != b.len() {
        return false;
    }
    match (resolved(a).await, resolved(b).await) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// Scheme and address of every URL; `None` when one cannot be resolved.
async fn resolved(urls: &[String]) -> Option<BTreeSet<(&'static str, SocketAddr)>> {
    let mut all = BTreeSet::new();
    for text in urls {
        let url = Url::parse(text).ok()?;
        let address = tokio::net::lookup_host((url.host(), url.port()))
            .await
            .ok()?
            .next()?;
        all.insert((url.scheme().as_str(), address));
    }
    Some(all)
}

/// Whether this release may join: somebody's cluster version is within what it supports, and nobody's
/// is not. Members that do not answer are passed over: one may be down while another joins.
async fn is_compatible(
    config: &Config,
    client: &PeerClient,
    running: &Cluster,
    own: u64,
    timeout: Duration,
) -> bool {
    let newest = minor(config.compat.cluster_version()).unwrap_or(MIN_CLUSTER);
    let others = || running.members().filter(|m| m.id != own);
    let (low, high) = if remote::downgrade_enabled(client, others(), timeout).await {
        let above = (newest.0, newest.1 + 1);
        (above, above)
    } else {
        (MIN_CLUSTER, newest)
    };
    let mut found = false;
    for member in others() {
        let Some(versions) = remote::fetch_versions(client, member, timeout).await else {
            continue;
        };
        let id = format_args!("{:x}", member.id).to_string();
        let version = versions.cluster;
        match minor(&version) {
            None => {
                tracing::warn!(
                    remote_member_id = id,
                    remote_member_cluster_version = version,
                    "failed to parse cluster version of remote member"
                );
            }
            Some(agreed) if agreed < low => {
                tracing::warn!(
                    remote_member_id = id,
                    remote_member_cluster_version = version,
                    "cluster version of remote member is not compatible; too low"
                );
                return false;
            }
            Some(agreed) if agreed > high => {
                tracing::warn!(
                    remote_member_id = id,
                    remote_member_cluster_version = version,
                    "cluster version of remote member is not compatible; too high"
                );
                return false;
            }
            Some(_) => found = true,
        }
    }
    found
}

#[cfg(test)]
mod tests;
