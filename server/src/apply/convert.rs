//! From request messages to the store's options.
use bytes::Bytes;
use varve_mvcc::{RangeOptions, SortOrder, SortTarget};
use varve_proto::etcdserverpb::{RangeRequest, range_request};

/// The range a request asks for. Sort enums outside etcd's are refused before this
/// (`api::validate`); here they read as "none".
pub(crate) fn range_options(request: &RangeRequest) -> RangeOptions {
    let target = match request.sort_target() {
        range_request::SortTarget::Key => SortTarget::Key,
        range_request::SortTarget::Version => SortTarget::Version,
        range_request::SortTarget::Create => SortTarget::Create,
        range_request::SortTarget::Mod => SortTarget::Mod,
        range_request::SortTarget::Value => SortTarget::Value,
    };
    let sort = match request.sort_order() {
        range_request::SortOrder::None => SortOrder::None,
        range_request::SortOrder::Ascend => SortOrder::Ascend,
        range_request::SortOrder::Descend => SortOrder::Descend,
    };
    RangeOptions {
        key: request.key.clone(),
        end: request.range_end.clone(),
        revision: request.revision,
        limit: request.limit,
        count_only: request.count_only,
        keys_only: request.keys_only,
        sort,
        target,
        min_mod_revision: request.min_mod_revision,
        max_mod_revision: request.max_mod_revision,
        min_create_revision: request.min_create_revision,
        max_create_revision: request.max_create_revision,
    }
}

/// The range that holds one key.
pub(crate) fn single_key(key: &Bytes) -> RangeOptions {
    RangeOptions {
        key: key.clone(),
        ..RangeOptions::default()
    }
}
