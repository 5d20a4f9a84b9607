//! What etcd keeps in its buckets, decoded: as text like etcd's tool of 3.6, and as JSON.
//!
//! What does not decode is shown as it is.
use prost::Message as _;
use serde_json::{Value as Json, json};
use varve_mvcc::{RowKey, schema};
use varve_proto::authpb::{Permission, Role, User, permission};
use varve_proto::leasepb::Lease;
use varve_proto::mvccpb::KeyValue;

use crate::dump_wal::bytes_value;
use crate::go_text::{go_quoted, octal_quoted};

/// A pair as etcd's tool shows it without decoding.
pub(super) fn plain(key: &[u8], value: &[u8]) -> String {
    format!("key={}, value={}", go_quoted(key), go_quoted(value))
}

/// A pair of a bucket of etcd's; none for other buckets and for what is not what the bucket should hold.
pub(super) fn text(bucket: &[u8], key: &[u8], value: &[u8]) -> Option<String> {
    match Content::of(bucket, key, value)? {
        Content::Row(row, kv) => Some(row_text(row, &kv)),
        Content::Lease(id, lease) => Some(format!(
            "lease ID={id:016x}, TTL={}s, remaining TTL={}s",
            lease.ttl, lease.remaining_ttl
        )),
        Content::Number(number) => Some(format!("key={}, value={number}", go_quoted(key))),
        Content::Bytes => Some(format!("key={}, value={}", go_quoted(key), go_list(value))),
        Content::Revision(row) => {
            let (main, sub) = (row.revision.main, row.revision.sub);
            Some(format!("key={}, value={{{main} {sub}}}", go_quoted(key)))
        }
        Content::Role(role) => {
            let permissions: Vec<_> = role.key_permission.iter().map(permission_text).collect();
            let permissions = permissions.join(" ");
            Some(format!(
                "role={}, keyPermission=[{permissions}]",
                go_quoted(&role.name)
            ))
        }
        Content::User(user) => {
            let roles: Vec<_> = user.roles.iter().map(|r| go_quoted(r.as_bytes())).collect();
            let option = match &user.options {
                None => "<nil>",
                Some(options) if options.no_password => "no_password:true ",
                Some(_) => "",
            };
            let (name, roles) = (go_quoted(&user.name), roles.join(" "));
            Some(format!("user={name}, roles=[{roles}], option={option}"))
        }
    }
}

/// The same as a JSON object; passwords, which are hashes, are left out here as there.
pub(super) fn json(bucket: &[u8], key: &[u8], value: &[u8]) -> Option<Json> {
    let mut object = json!({"bucket": bytes_value(bucket)});
    let name = "key";
    match Content::of(bucket, key, value)? {
        Content::Row(row, kv) => {
            object["revision"] = json!({"main": row.revision.main, "sub": row.revision.sub});
            object["tombstone"] = json!(row.tombstone);
            object[name] = bytes_value(&kv.key);
            object["value"] = bytes_value(&kv.value);
            object["create_revision"] = json!(kv.create_revision);
            object["mod_revision"] = json!(kv.mod_revision);
            object["version"] = json!(kv.version);
            object["lease"] = json!(format!("{:x}", kv.lease));
        }
        Content::Lease(id, lease) => {
            object["lease"] = json!(format!("{id:x}"));
            object["ttl"] = json!(lease.ttl);
            object["remaining_ttl"] = json!(lease.remaining_ttl);
        }
        Content::Number(number) => {
            object[name] = bytes_value(key);
            object["value"] = json!(number);
        }
        Content::Bytes => {
            object[name] = bytes_value(key);
            object["value"] = json!(value);
        }
        Content::Revision(row) => {
            object[name] = bytes_value(key);
            object["value"] = json!({"main": row.revision.main, "sub": row.revision.sub});
        }
        Content::Role(role) => {
            object["role"] = bytes_value(&role.name);
            let permissions = role.key_permission.iter().map(permission_json);
            object["permissions"] = Json::Array(permissions.collect());
        }
        Content::User(user) => {
            object["user"] = bytes_value(&user.name);
            object["roles"] = json!(user.roles);
            let no_password = user.options.as_ref().is_some_and(|o| o.no_password);
            object["no_password"] = json!(no_password);
        }
    }
    Some(object)
}

/// What a pair says.
enum Content {
    Row(RowKey, KeyValue),
    Lease(i64, Lease),
    Number(u64),
    /// The flag that says whether authentication is on.
    Bytes,
    Revision(RowKey),
    Role(Role),
    User(User),
}

impl Content {
    fn of(bucket: &[u8], key: &[u8], value: &[u8]) -> Option<Self> {
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
        let is = |known: varve_backend::Bucket| bucket == known.as_bytes();
        let key_is = |known: &[&str]| known.iter().any(|name| name.as_bytes() == key);
        if is(schema::KEY) {
            return Some(Self::Row(
                RowKey::decode(key).ok()?,
                KeyValue::decode(value).ok()?,
            ));
        }
        if is(schema::LEASE) {
            let id = number(key)?.cast_signed();
            return Some(Self::Lease(id, Lease::decode(value).ok()?));
        }
        if is(schema::AUTH) {
            if key_is(&["authRevision"]) {
                return number(value).map(Self::Number);
            }
            return Some(Self::Bytes);
        }
        if is(schema::AUTH_ROLES) {
            return Role::decode(value).ok().map(Self::Role);
        }
        if is(schema::AUTH_USERS) {
            return User::decode(value).ok().map(Self::User);
        }
        if !is(schema::META) {
            return None;
        }
        if key_is(&[schema::META_CONSISTENT_INDEX, schema::META_TERM]) {
            return number(value).map(Self::Number);
        }
        if key_is(&[
            schema::META_SCHEDULED_COMPACT,
            schema::META_FINISHED_COMPACT,
        ]) {
            return RowKey::decode(value).ok().map(Self::Revision);
        }
        None
    }
}

/// A row of bucket `key`, as etcd's tool shows it.
pub(super) fn row_text(row: RowKey, kv: &KeyValue) -> String {
    format!(
        "rev={{Revision:{{Main:{} Sub:{}}} tombstone:{}}}, \
         value=[key {} | val {} | created {} | mod {} | ver {}]",
        row.revision.main,
        row.revision.sub,
        row.tombstone,
        go_quoted(&kv.key),
        go_quoted(&kv.value),
        kv.create_revision,
        kv.mod_revision,
        kv.version,
    )
}

/// Bytes as Go prints a slice.
fn go_list(bytes: &[u8]) -> String {
    let numbers: Vec<_> = bytes.iter().map(u8::to_string).collect();
    format!("[{}]", numbers.join(" "))
}

fn permission_name(permission: &Permission) -> String {
    permission::Type::try_from(permission.perm_type).map_or_else(
        |_| permission.perm_type.to_string(),
        |kind| kind.as_str_name().to_owned(),
    )
}

/// In protobuf's compact text form, which leaves zeros out.
fn permission_text(permission: &Permission) -> String {
    let quoted = |bytes: &[u8]| (!bytes.is_empty()).then(|| octal_quoted(bytes));
    let kind = (permission.perm_type != 0).then(|| permission_name(permission));
    let fields = [
        ("permType", kind),
        ("key", quoted(&permission.key)),
        ("range_end", quoted(&permission.range_end)),
    ];
    let fields = fields
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name}:{value} ")));
    fields.collect()
}

fn permission_json(permission: &Permission) -> Json {
    json!({
        "type": permission_name(permission),
        "key": bytes_value(&permission.key),
        "range_end": bytes_value(&permission.range_end),
    })
}
