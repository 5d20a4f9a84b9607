//! What the declared etcd version means for the data directory.
use crate::config::CompatVersion;

/// The cluster runs a newer version than this member declares.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cluster is at version {cluster}, but this member stands in for etcd {own}; \
     start it with a newer --compat-version"
)]
pub(crate) struct TooOld {
    cluster: String,
    own: &'static str,
}

/// Whether `.snap` files carry the live v2 store (3.5) or one made from the members (3.6).
pub(crate) fn v2_store_is_live(compat: CompatVersion) -> bool {
    compat < CompatVersion::V36
}

/// Whether a member publishes itself and the cluster version through v2 requests.
pub(crate) fn publishes_through_v2(compat: CompatVersion) -> bool {
    compat < CompatVersion::V36
}

/// The storage version that goes with a cluster version, where the schema has one.
pub(crate) fn storage_version_for(
    compat: CompatVersion,
    cluster_version: &str,
) -> Option<&'static str> {
    compat
        .storage_version()
        .filter(|storage| minor(cluster_version) >= minor(storage))
}

/// Whether checkpoints of leases are kept on disk whatever the flags say: from 3.6 on.
pub(crate) fn keeps_lease_checkpoints(cluster_version: Option<&str>) -> bool {
    cluster_version.is_some_and(|version| minor(version) >= Some((3, 6)))
}

/// Refuses a cluster version newer than this member.
pub(crate) fn check_cluster_version(compat: CompatVersion, version: &str) -> Result<(), TooOld> {
    if minor(version) > minor(compat.cluster_version()) {
        return Err(TooOld {
            cluster: version.to_owned(),
            own: compat.server_version(),
        });
    }
    Ok(())
}

/// Major and minor of a version text.
pub(crate) fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|p| p.parse().ok());
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_cluster_is_refused_and_an_older_one_is_not() {
        assert!(check_cluster_version(CompatVersion::V35, "3.6.0").is_err());
        assert!(check_cluster_version(CompatVersion::V35, "3.5.0").is_ok());
        assert!(check_cluster_version(CompatVersion::V36, "3.4.0").is_ok());
        assert!(check_cluster_version(CompatVersion::V36, "4.0.0").is_err());
    }

    #[test]
    fn only_3_6_has_a_storage_version() {
        assert_eq!(
            storage_version_for(CompatVersion::V36, "3.6.0"),
            Some("3.6.0")
        );
        assert_eq!(storage_version_for(CompatVersion::V36, "3.5.0"), None);
        assert_eq!(storage_version_for(CompatVersion::V35, "3.5.0"), None);
    }
}
