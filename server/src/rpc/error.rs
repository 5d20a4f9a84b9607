//! The errors of etcd's API: which code, which text.
//!
//! Clients match these texts; they are part of the protocol.

use super::{Code, Status};

/// Everything etcd's API refuses a request with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RpcError {
    /// A key is empty.
    EmptyKey,
    /// The key to keep value or lease of does not exist; or a transaction holds an empty operation.
    KeyNotFound,
    /// `ignore_value` together with a value.
    ValueProvided,
    /// `ignore_lease` together with a lease.
    LeaseProvided,
    /// More operations than `--max-txn-ops`.
    TooManyOps,
    /// Two writes of one key in one branch.
    DuplicateKey,
    /// The metadata is not UTF-8.
    InvalidClientApiVersion,
    /// An unknown order or target.
    InvalidSortOption,
    /// The revision is compacted away.
    Compacted,
    /// The revision is not there yet.
    FutureRev,
    /// The quota is exhausted.
    NoSpace,
    /// No such lease.
    LeaseNotFound,
    /// The id is taken.
    LeaseExist,
    /// More than 9,000,000,000 seconds.
    LeaseTtlTooLarge,
    /// The client cancelled its stream.
    WatchCanceled,
    /// The id is taken.
    MemberExist,
    /// Another member has the URL.
    PeerUrlExist,
    /// Too few members have started. Declared FailedPrecondition, sent as Unknown.
    MemberNotEnoughStarted,
    /// No URLs, or malformed ones.
    MemberBadUrls,
    /// No such member, or one removed before.
    MemberNotFound,
    /// The member votes already.
    MemberNotLearner,
    /// The learner lags behind.
    LearnerNotReady,
    /// More than `--max-learners`.
    TooManyLearners,
    /// The peer belongs to another cluster.
    ClusterIdMismatch,
    /// More than `--max-request-bytes`.
    RequestTooLarge,
    /// Too much is committed and not applied. Declared ResourceExhausted, sent as Unknown.
    TooManyRequests,
    /// Auth cannot be enabled without root.
    RootUserNotExist,
    /// Auth cannot be enabled: root lacks its role.
    RootRoleNotExist,
    /// The user exists.
    UserAlreadyExist,
    /// No user name, or no identity while auth is on.
    UserEmpty,
    /// No such user.
    UserNotFound,
    /// The role exists.
    RoleAlreadyExist,
    /// No such role.
    RoleNotFound,
    /// No role name.
    RoleEmpty,
    /// Wrong user or password.
    AuthFailed,
    /// No permission to grant.
    PermissionNotGiven,
    /// The user may not.
    PermissionDenied,
    /// The user does not have the role.
    RoleNotGranted,
    /// The role does not have the permission.
    PermissionNotGranted,
    /// Auth is off.
    AuthNotEnabled,
    /// Unknown or expired token.
    InvalidAuthToken,
    /// Root would be harmed, or the permission makes no sense.
    InvalidAuthMgmt,
    /// The token is older than the auth store.
    AuthOldRevision,
    /// There is no leader.
    NoLeader,
    /// This member does not lead.
    NotLeader,
    /// Another leader took over meanwhile.
    LeaderChanged,
    /// The cluster is too old for the call.
    NotCapable,
    /// The server is stopping.
    Stopped,
    /// No answer in time.
    Timeout,
    /// No answer in time, around a change of leader.
    TimeoutDueToLeaderFail,
    /// No answer in time, with the leader or the quorum out of reach.
    TimeoutDueToConnectionLost,
    /// Applying lags behind too far.
    TimeoutWaitAppliedIndex,
    /// The change could cost the quorum.
    Unhealthy,
    /// A member is known to be corrupt.
    Corrupt,
    /// Learners do not serve the call.
    NotSupportedForLearner,
    /// The member cannot lead.
    BadLeaderTransferee,
    /// The version is malformed.
    WrongDowngradeVersionFormat,
    /// Not one minor version below.
    InvalidDowngradeTargetVersion,
    /// No version is agreed on yet.
    ClusterVersionUnavailable,
    /// One downgrade at a time.
    DowngradeInProcess,
    /// There is nothing to cancel.
    NoInflightDowngrade,
    /// The request was cancelled inside.
    Canceled,
    /// The request took too long inside.
    DeadlineExceeded,
}

impl RpcError {
    /// The code as it travels. Two differ from what etcd's sources declare: its server maps them to
    /// errors that gRPC has no code for.
    pub const fn code(self) -> Code {
        self.entry().0
    }

    /// The text, with etcd's prefix.
    pub const fn text(self) -> &'static str {
        self.entry().1
    }

    const fn entry(self) -> (Code, &'static str) {
        match self {
            Self::EmptyKey => (Code::InvalidArgument, "etcdserver: key is not provided"),
            Self::KeyNotFound => (Code::InvalidArgument, "etcdserver: key not found"),
            Self::ValueProvided => (Code::InvalidArgument, "etcdserver: value is provided"),
            Self::LeaseProvided => (Code::InvalidArgument, "etcdserver: lease is provided"),
            Self::TooManyOps => (
                Code::InvalidArgument,
                "etcdserver: too many operations in txn request",
            ),
            Self::DuplicateKey => (
                Code::InvalidArgument,
                "etcdserver: duplicate key given in txn request",
            ),
            Self::InvalidClientApiVersion => (
                Code::InvalidArgument,
                "etcdserver: invalid client api version",
            ),
            Self::InvalidSortOption => (Code::InvalidArgument, "etcdserver: invalid sort option"),
            Self::Compacted => (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
            ),
            Self::FutureRev => (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
            ),
            Self::NoSpace => (
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
            ),
            Self::LeaseNotFound => (Code::NotFound, "etcdserver: requested lease not found"),
            Self::LeaseExist => (Code::FailedPrecondition, "etcdserver: lease already exists"),
            Self::LeaseTtlTooLarge => (Code::OutOfRange, "etcdserver: too large lease TTL"),
            Self::WatchCanceled => (Code::Canceled, "etcdserver: watch canceled"),
            Self::MemberExist => (
                Code::FailedPrecondition,
                "etcdserver: member ID already exist",
            ),
            Self::PeerUrlExist => (
                Code::FailedPrecondition,
                "etcdserver: Peer URLs already exists",
            ),
            Self::MemberNotEnoughStarted => (
                Code::Unknown,
                "etcdserver: re-configuration failed due to not enough started members",
            ),
            Self::MemberBadUrls => (
                Code::InvalidArgument,
                "etcdserver: given member URLs are invalid",
            ),
            Self::MemberNotFound => (Code::NotFound, "etcdserver: member not found"),
            Self::MemberNotLearner => (
                Code::FailedPrecondition,
                "etcdserver: can only promote a learner member",
            ),
            Self::LearnerNotReady => (
                Code::FailedPrecondition,
                "etcdserver: can only promote a learner member which is in sync with leader",
            ),
            Self::TooManyLearners => (
                Code::FailedPrecondition,
                "etcdserver: too many learner members in cluster",
            ),
            Self::ClusterIdMismatch => {
                (Code::FailedPrecondition, "etcdserver: cluster ID mismatch")
            }
            Self::RequestTooLarge => (Code::InvalidArgument, "etcdserver: request is too large"),
            Self::TooManyRequests => (Code::Unknown, "etcdserver: too many requests"),
            Self::RootUserNotExist => (
                Code::FailedPrecondition,
                "etcdserver: root user does not exist",
            ),
            Self::RootRoleNotExist => (
                Code::FailedPrecondition,
                "etcdserver: root user does not have root role",
            ),
            Self::UserAlreadyExist => (
                Code::FailedPrecondition,
                "etcdserver: user name already exists",
            ),
            Self::UserEmpty => (Code::InvalidArgument, "etcdserver: user name is empty"),
            Self::UserNotFound => (Code::FailedPrecondition, "etcdserver: user name not found"),
            Self::RoleAlreadyExist => (
                Code::FailedPrecondition,
                "etcdserver: role name already exists",
            ),
            Self::RoleNotFound => (Code::FailedPrecondition, "etcdserver: role name not found"),
            Self::RoleEmpty => (Code::InvalidArgument, "etcdserver: role name is empty"),
            Self::AuthFailed => (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
            ),
            Self::PermissionNotGiven => (Code::InvalidArgument, "etcdserver: permission not given"),
            Self::PermissionDenied => (Code::PermissionDenied, "etcdserver: permission denied"),
            Self::RoleNotGranted => (
                Code::FailedPrecondition,
                "etcdserver: role is not granted to the user",
            ),
            Self::PermissionNotGranted => (
                Code::FailedPrecondition,
                "etcdserver: permission is not granted to the role",
            ),
            Self::AuthNotEnabled => (
                Code::FailedPrecondition,
                "etcdserver: authentication is not enabled",
            ),
            Self::InvalidAuthToken => (Code::Unauthenticated, "etcdserver: invalid auth token"),
            Self::InvalidAuthMgmt => (Code::InvalidArgument, "etcdserver: invalid auth management"),
            Self::AuthOldRevision => (
                Code::InvalidArgument,
                "etcdserver: revision of auth store is old",
            ),
            Self::NoLeader => (Code::Unavailable, "etcdserver: no leader"),
            Self::NotLeader => (Code::FailedPrecondition, "etcdserver: not leader"),
            Self::LeaderChanged => (Code::Unavailable, "etcdserver: leader changed"),
            Self::NotCapable => (Code::FailedPrecondition, "etcdserver: not capable"),
            Self::Stopped => (Code::Unavailable, "etcdserver: server stopped"),
            Self::Timeout => (Code::Unavailable, "etcdserver: request timed out"),
            Self::TimeoutDueToLeaderFail => (
                Code::Unavailable,
                "etcdserver: request timed out, possibly due to previous leader failure",
            ),
            Self::TimeoutDueToConnectionLost => (
                Code::Unavailable,
                "etcdserver: request timed out, possibly due to connection lost",
            ),
            Self::TimeoutWaitAppliedIndex => (
                Code::Unavailable,
                "etcdserver: request timed out, waiting for the applied index took too long",
            ),
            Self::Unhealthy => (Code::Unavailable, "etcdserver: unhealthy cluster"),
            Self::Corrupt => (Code::DataLoss, "etcdserver: corrupt cluster"),
            Self::NotSupportedForLearner => (
                Code::FailedPrecondition,
                "etcdserver: rpc not supported for learner",
            ),
            Self::BadLeaderTransferee => (
                Code::FailedPrecondition,
                "etcdserver: bad leader transferee",
            ),
            Self::WrongDowngradeVersionFormat => (
                Code::InvalidArgument,
                "etcdserver: wrong downgrade target version format",
            ),
            Self::InvalidDowngradeTargetVersion => (
                Code::InvalidArgument,
                "etcdserver: invalid downgrade target version",
            ),
            Self::ClusterVersionUnavailable => (
                Code::FailedPrecondition,
                "etcdserver: cluster version not found during downgrade",
            ),
            Self::DowngradeInProcess => (
                Code::FailedPrecondition,
                "etcdserver: cluster has a downgrade job in progress",
            ),
            Self::NoInflightDowngrade => (
                Code::FailedPrecondition,
                "etcdserver: no inflight downgrade job",
            ),
            Self::Canceled => (Code::Canceled, "etcdserver: request canceled"),
            Self::DeadlineExceeded => (
                Code::DeadlineExceeded,
                "etcdserver: context deadline exceeded",
            ),
        }
    }
}

impl From<RpcError> for Status {
    fn from(error: RpcError) -> Self {
        Self::new(error.code(), error.text())
    }
}
