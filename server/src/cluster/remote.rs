//! What other members say of the cluster: its members, their versions.
//!
//! Used at start-up, to join a cluster, and by the leader's version monitor.
//! Source: etcd `server/etcdserver/cluster_util.go`.
use std::time::Duration;

use serde::Deserialize;
use varve_raftnode::membership::{Cluster, Member};

use super::client::{Answer, PeerClient, PeerError};

/// What `/version` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Versions {
    /// The release that runs.
    #[serde(rename = "etcdserver")]
    pub(crate) server: String,
    /// The version the cluster agreed on, or `not_decided`.
    #[serde(rename = "etcdcluster")]
    pub(crate) cluster: String,
}

/// The cluster as the first of `urls` that answers tells it. `None` when nobody answers, which is worth
/// a warning only where somebody should.
pub(crate) async fn fetch_cluster(
    client: &PeerClient,
    urls: &[String],
    timeout: Duration,
    warn: bool,
) -> Option<Cluster> {
    for url in urls {
        let outcome = match client.get(url, "/members", timeout).await {
            Ok(answer) => parse_cluster(url, &answer),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(cluster) => return Some(cluster),
            Err(error) if warn => {
                tracing::warn!(address = %format_args!("{url}/members"), %error,
                    "failed to get cluster response");
            }
            Err(_) => {}
        }
    }
    None
}

fn parse_cluster(url: &str, answer: &Answer) -> Result<Cluster, PeerError> {
    let unexpected = |what: String| PeerError::Unexpected {
        url: url.to_owned(),
        what,
    };
    let members = parse_members(url, answer)?;
    if members.is_empty() {
        return Err(unexpected("a cluster without members".to_owned()));
    }
    let id = answer
        .header("x-etcd-cluster-id")
        .and_then(|hex| u64::from_str_radix(hex, 16).ok())
        .ok_or_else(|| unexpected("no cluster id in the header X-Etcd-Cluster-ID".to_owned()))?;
    let mut cluster = Cluster::new(id, 0);
    for member in members {
        cluster.restore_member(member);
    }
    Ok(cluster)
}

/// The member list that `/members` and `/members/promote` answer with.
pub(crate) fn parse_members(url: &str, answer: &Answer) -> Result<Vec<Member>, PeerError> {
    let unexpected = |what: String| PeerError::Unexpected {
        url: url.to_owned(),
        what,
    };
    if !answer.status.is_success() {
        return Err(unexpected(format!("{}: {}", answer.status, answer.text())));
    }
    serde_json::from_slice(&answer.body).map_err(|e| unexpected(e.to_string()))
}

/// The versions of a member, from the first of its URLs that answers.
pub(crate) async fn fetch_versions(
    client: &PeerClient,
    member: &Member,
    timeout: Duration,
) -> Option<Versions> {
    for url in &member.peer_urls {
        let outcome = match client.get(url, "/version", timeout).await {
            Ok(answer) => serde_json::from_slice(&answer.body).map_err(|e| PeerError::Unexpected {
                url: url.clone(),
                what: e.to_string(),
            }),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(versions) => return Some(versions),
            Err(error) => {
                tracing::warn!(address = %format_args!("{url}/version"),
                    remote_member_id = %format_args!("{:x}", member.id), %error,
                    "failed to get version");
            }
        }
    }
    None
}

/// Whether the cluster is in the middle of a downgrade, as the first member that knows says. A member
/// too old to be asked knows nothing.
pub(crate) async fn downgrade_enabled<'a>(
    client: &PeerClient,
    members: impl IntoIterator<Item = &'a Member>,
    timeout: Duration,
) -> bool {
    for url in members.into_iter().flat_map(|m| &m.peer_urls) {
        match client.get(url, "/downgrade/enabled", timeout).await {
            Ok(answer) => match answer.text().as_str() {
                "true" => return true,
                "false" => return false,
                other => {
                    tracing::warn!(
                        url,
                        answer = other,
                        "failed to convert response for downgrade status"
                    );
                }
            },
            Err(error) => {
                tracing::warn!(url, %error, "failed to get downgrade enabled status");
            }
        }
    }
    false
}
