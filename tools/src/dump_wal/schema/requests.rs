//! `InternalRaftRequest` and everything in it.
use super::Kind::{Bool, Bytes, Enum, Message as Nested, Signed, Text, Unsigned};
use super::{Message, field, one_of, repeated};

const SORT_ORDERS: &[&str] = &["NONE", "ASCEND", "DESCEND"];
const SORT_TARGETS: &[&str] = &["KEY", "VERSION", "CREATE", "MOD", "VALUE"];
const RESULTS: &[&str] = &["EQUAL", "GREATER", "LESS", "NOT_EQUAL"];
const TARGETS: &[&str] = &["VERSION", "CREATE", "MOD", "VALUE", "LEASE"];
const ALARM_ACTIONS: &[&str] = &["GET", "ACTIVATE", "DEACTIVATE"];
const ALARMS: &[&str] = &["NONE", "NOSPACE", "CORRUPT"];
const PERMISSIONS: &[&str] = &["READ", "WRITE", "READWRITE"];

/// What a normal entry holds.
pub(in super::super) static INTERNAL_RAFT_REQUEST: Message = Message {
    fields: &[
        field(100, "header", Nested(&HEADER)),
        field(1, "ID", Unsigned),
        field(2, "v2", Nested(&V2_REQUEST)),
        field(3, "range", Nested(&RANGE)),
        field(4, "put", Nested(&PUT)),
        field(5, "delete_range", Nested(&DELETE_RANGE)),
        field(6, "txn", Nested(&TXN)),
        field(7, "compaction", Nested(&COMPACTION)),
        field(8, "lease_grant", Nested(&LEASE_GRANT)),
        field(9, "lease_revoke", Nested(&LEASE_ID)),
        field(10, "alarm", Nested(&ALARM)),
        field(11, "lease_checkpoint", Nested(&LEASE_CHECKPOINTS)),
        field(1000, "auth_enable", Nested(&EMPTY)),
        field(1011, "auth_disable", Nested(&EMPTY)),
        field(1013, "auth_status", Nested(&EMPTY)),
        field(1012, "authenticate", Nested(&AUTHENTICATE)),
        field(1100, "auth_user_add", Nested(&USER_ADD)),
        field(1101, "auth_user_delete", Nested(&NAME)),
        field(1102, "auth_user_get", Nested(&NAME)),
        field(
            1103,
            "auth_user_change_password",
            Nested(&USER_CHANGE_PASSWORD),
        ),
        field(1104, "auth_user_grant_role", Nested(&USER_GRANT_ROLE)),
        field(1105, "auth_user_revoke_role", Nested(&USER_REVOKE_ROLE)),
        field(1106, "auth_user_list", Nested(&EMPTY)),
        field(1107, "auth_role_list", Nested(&EMPTY)),
        field(1200, "auth_role_add", Nested(&NAME)),
        field(1201, "auth_role_delete", Nested(&ROLE)),
        field(1202, "auth_role_get", Nested(&ROLE)),
        field(
            1203,
            "auth_role_grant_permission",
            Nested(&ROLE_GRANT_PERMISSION),
        ),
        field(
            1204,
            "auth_role_revoke_permission",
            Nested(&ROLE_REVOKE_PERMISSION),
        ),
        field(1300, "cluster_version_set", Nested(&VERSION)),
        field(
            1301,
            "cluster_member_attr_set",
            Nested(&MEMBER_ATTRIBUTES_SET),
        ),
        field(1302, "downgrade_info_set", Nested(&DOWNGRADE_INFO)),
        field(9900, "downgrade_version_test", Nested(&VERSION)),
    ],
};

/// A request of the v2 store.
pub(in super::super) static V2_REQUEST: Message = Message {
    fields: &[
        field(1, "ID", Unsigned),
        field(2, "Method", Text),
        field(3, "Path", Text),
        field(4, "Val", Text),
        field(5, "Dir", Bool),
        field(6, "PrevValue", Text),
        field(7, "PrevIndex", Unsigned),
        one_of(8, "PrevExist", Bool),
        field(9, "Expiration", Signed),
        field(10, "Wait", Bool),
        field(11, "Since", Unsigned),
        field(12, "Recursive", Bool),
        field(13, "Sorted", Bool),
        field(14, "Quorum", Bool),
        field(15, "Time", Signed),
        field(16, "Stream", Bool),
        one_of(17, "Refresh", Bool),
    ],
};

/// Who a log belongs to.
pub(in super::super) static METADATA: Message = Message {
    fields: &[
        field(1, "NodeID", Unsigned),
        field(2, "ClusterID", Unsigned),
    ],
};

static EMPTY: Message = Message { fields: &[] };
static NAME: Message = Message {
    fields: &[field(1, "name", Text)],
};
static ROLE: Message = Message {
    fields: &[field(1, "role", Text)],
};
static VERSION: Message = Message {
    fields: &[field(1, "ver", Text)],
};
static LEASE_ID: Message = Message {
    fields: &[field(1, "ID", Signed)],
};

static HEADER: Message = Message {
    fields: &[
        field(1, "ID", Unsigned),
        field(2, "username", Text),
        field(3, "auth_revision", Unsigned),
    ],
};

static RANGE: Message = Message {
    fields: &[
        field(1, "key", Bytes),
        field(2, "range_end", Bytes),
        field(3, "limit", Signed),
        field(4, "revision", Signed),
        field(5, "sort_order", Enum(SORT_ORDERS)),
        field(6, "sort_target", Enum(SORT_TARGETS)),
        field(7, "serializable", Bool),
        field(8, "keys_only", Bool),
        field(9, "count_only", Bool),
        field(10, "min_mod_revision", Signed),
        field(11, "max_mod_revision", Signed),
        field(12, "min_create_revision", Signed),
        field(13, "max_create_revision", Signed),
    ],
};

static PUT: Message = Message {
    fields: &[
        field(1, "key", Bytes),
        field(2, "value", Bytes),
        field(3, "lease", Signed),
        field(4, "prev_kv", Bool),
        field(5, "ignore_value", Bool),
        field(6, "ignore_lease", Bool),
    ],
};

static DELETE_RANGE: Message = Message {
    fields: &[
        field(1, "key", Bytes),
        field(2, "range_end", Bytes),
        field(3, "prev_kv", Bool),
    ],
};

static TXN: Message = Message {
    fields: &[
        repeated(1, "compare", Nested(&COMPARE)),
        repeated(2, "success", Nested(&REQUEST_OP)),
        repeated(3, "failure", Nested(&REQUEST_OP)),
    ],
};

static COMPARE: Message = Message {
    fields: &[
        field(1, "result", Enum(RESULTS)),
        field(2, "target", Enum(TARGETS)),
        field(3, "key", Bytes),
        one_of(4, "version", Signed),
        one_of(5, "create_revision", Signed),
        one_of(6, "mod_revision", Signed),
        one_of(7, "value", Bytes),
        one_of(8, "lease", Signed),
        field(64, "range_end", Bytes),
    ],
};

static REQUEST_OP: Message = Message {
    fields: &[
        one_of(1, "request_range", Nested(&RANGE)),
        one_of(2, "request_put", Nested(&PUT)),
        one_of(3, "request_delete_range", Nested(&DELETE_RANGE)),
        one_of(4, "request_txn", Nested(&TXN)),
    ],
};

static COMPACTION: Message = Message {
    fields: &[field(1, "revision", Signed), field(2, "physical", Bool)],
};

static LEASE_GRANT: Message = Message {
    fields: &[field(1, "TTL", Signed), field(2, "ID", Signed)],
};

static LEASE_CHECKPOINTS: Message = Message {
    fields: &[repeated(1, "checkpoints", Nested(&LEASE_CHECKPOINT))],
};

static LEASE_CHECKPOINT: Message = Message {
    fields: &[field(1, "ID", Signed), field(2, "remaining_TTL", Signed)],
};

static ALARM: Message = Message {
    fields: &[
        field(1, "action", Enum(ALARM_ACTIONS)),
        field(2, "memberID", Unsigned),
        field(3, "alarm", Enum(ALARMS)),
    ],
};

static AUTHENTICATE: Message = Message {
    fields: &[
        field(1, "name", Text),
        field(2, "password", Text),
        field(3, "simple_token", Text),
    ],
};

static USER_ADD: Message = Message {
    fields: &[
        field(1, "name", Text),
        field(2, "password", Text),
        field(3, "options", Nested(&USER_ADD_OPTIONS)),
        field(4, "hashedPassword", Text),
    ],
};

static USER_ADD_OPTIONS: Message = Message {
    fields: &[field(1, "no_password", Bool)],
};

static USER_CHANGE_PASSWORD: Message = Message {
    fields: &[
        field(1, "name", Text),
        field(2, "password", Text),
        field(3, "hashedPassword", Text),
    ],
};

static USER_GRANT_ROLE: Message = Message {
    fields: &[field(1, "user", Text), field(2, "role", Text)],
};
static USER_REVOKE_ROLE: Message = Message {
    fields: &[field(1, "name", Text), field(2, "role", Text)],
};

static ROLE_GRANT_PERMISSION: Message = Message {
    fields: &[
        field(1, "name", Text),
        field(2, "perm", Nested(&PERMISSION)),
    ],
};

static PERMISSION: Message = Message {
    fields: &[
        field(1, "permType", Enum(PERMISSIONS)),
        field(2, "key", Bytes),
        field(3, "range_end", Bytes),
    ],
};

static ROLE_REVOKE_PERMISSION: Message = Message {
    fields: &[
        field(1, "role", Text),
        field(2, "key", Bytes),
        field(3, "range_end", Bytes),
    ],
};

static MEMBER_ATTRIBUTES_SET: Message = Message {
    fields: &[
        field(1, "member_ID", Unsigned),
        field(2, "member_attributes", Nested(&ATTRIBUTES)),
    ],
};

static ATTRIBUTES: Message = Message {
    fields: &[field(1, "name", Text), repeated(2, "client_urls", Text)],
};

static DOWNGRADE_INFO: Message = Message {
    fields: &[field(1, "enabled", Bool), field(2, "ver", Text)],
};
