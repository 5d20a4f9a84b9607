//! The methods that are served, and their names.

use super::{Code, Status};

/// How many messages travel which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One request, one response.
    Unary,
    /// One request, many responses.
    ServerStream,
    /// Many both ways.
    BidiStream,
}

impl Kind {
    /// The word metrics label it with.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ServerStream => "server_stream",
            Self::BidiStream => "bidi_stream",
        }
    }
}

/// One entry per method: variant, service, name, kind. A macro because three functions and the
/// enum must not drift apart.
macro_rules! methods {
    ($($service:literal { $($variant:ident = $name:literal $kind:ident,)* })*) => {
        /// A method of one of the services.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "named as in the .proto files, explained there")]
        pub enum Method {
            $($($variant,)*)*
        }

        impl Method {
            /// Every method, by service.
            pub const ALL: &[Self] = &[$($(Self::$variant,)*)*];

            fn find(path: &str) -> Option<Self> {
                match path {
                    $($(concat!("/", $service, "/", $name) => Some(Self::$variant),)*)*
                    _ => None,
                }
            }

            fn is_service(name: &str) -> bool {
                matches!(name, $($service)|*)
            }

            /// The service's full name, such as `etcdserverpb.KV`.
            pub const fn service(self) -> &'static str {
                match self {
                    $($(Self::$variant => $service,)*)*
                }
            }

            /// The name within the service.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Self::$variant => $name,)*)*
                }
            }

            /// Which way how many messages go.
            pub const fn kind(self) -> Kind {
                match self {
                    $($(Self::$variant => Kind::$kind,)*)*
                }
            }
        }
    };
}

methods! {
    "etcdserverpb.KV" {
        Range = "Range" Unary,
        Put = "Put" Unary,
        DeleteRange = "DeleteRange" Unary,
        Txn = "Txn" Unary,
        Compact = "Compact" Unary,
        RangeStream = "RangeStream" ServerStream,
    }
    "etcdserverpb.Watch" {
        Watch = "Watch" BidiStream,
    }
    "etcdserverpb.Lease" {
        LeaseGrant = "LeaseGrant" Unary,
        LeaseRevoke = "LeaseRevoke" Unary,
        LeaseKeepAlive = "LeaseKeepAlive" BidiStream,
        LeaseTimeToLive = "LeaseTimeToLive" Unary,
        LeaseLeases = "LeaseLeases" Unary,
    }
    "etcdserverpb.Cluster" {
        MemberAdd = "MemberAdd" Unary,
        MemberRemove = "MemberRemove" Unary,
        MemberUpdate = "MemberUpdate" Unary,
        MemberList = "MemberList" Unary,
        MemberPromote = "MemberPromote" Unary,
    }
    "etcdserverpb.Maintenance" {
        Alarm = "Alarm" Unary,
        Status = "Status" Unary,
        Defragment = "Defragment" Unary,
        Hash = "Hash" Unary,
        HashKv = "HashKV" Unary,
        Snapshot = "Snapshot" ServerStream,
        MoveLeader = "MoveLeader" Unary,
        Downgrade = "Downgrade" Unary,
    }
    "etcdserverpb.Auth" {
        AuthEnable = "AuthEnable" Unary,
        AuthDisable = "AuthDisable" Unary,
        AuthStatus = "AuthStatus" Unary,
        Authenticate = "Authenticate" Unary,
        UserAdd = "UserAdd" Unary,
        UserGet = "UserGet" Unary,
        UserList = "UserList" Unary,
        UserDelete = "UserDelete" Unary,
        UserChangePassword = "UserChangePassword" Unary,
        UserGrantRole = "UserGrantRole" Unary,
        UserRevokeRole = "UserRevokeRole" Unary,
        RoleAdd = "RoleAdd" Unary,
        RoleGet = "RoleGet" Unary,
        RoleList = "RoleList" Unary,
        RoleDelete = "RoleDelete" Unary,
        RoleGrantPermission = "RoleGrantPermission" Unary,
        RoleRevokePermission = "RoleRevokePermission" Unary,
    }
    "v3lockpb.Lock" {
        Lock = "Lock" Unary,
        Unlock = "Unlock" Unary,
    }
    "v3electionpb.Election" {
        Campaign = "Campaign" Unary,
        Proclaim = "Proclaim" Unary,
        Leader = "Leader" Unary,
        Observe = "Observe" ServerStream,
        Resign = "Resign" Unary,
    }
    "grpc.health.v1.Health" {
        HealthCheck = "Check" Unary,
        HealthWatch = "Watch" ServerStream,
    }
}

impl Method {
    /// The method a request's path names, or grpc-go's words for why there is none.
    pub fn from_path(path: &str) -> Result<Self, Status> {
        if let Some(method) = Self::find(path) {
            return Ok(method);
        }
        let unimplemented = |text| Err(Status::new(Code::Unimplemented, text));
        let names = path
            .strip_prefix('/')
            .and_then(|path| path.rsplit_once('/'));
        match names {
            None => unimplemented(format!("malformed method name: {path:?}")),
            Some((service, method)) if Self::is_service(service) => {
                unimplemented(format!("unknown method {method} for service {service}"))
            }
            Some((service, _)) => unimplemented(format!("unknown service {service}")),
        }
    }
}

#[cfg(test)]
mod tests;
