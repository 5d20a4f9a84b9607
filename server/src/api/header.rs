//! The header every response begins with: which cluster and member answered, at which revision.

use bytes::BytesMut;
use varve_proto::wire;

use crate::core::Header;

/// Field number of `header` in every response message.
const HEADER: u32 = 1;

/// Bytes of the header's fields.
fn content_len(header: &Header, revision: i64) -> usize {
    wire::field_size(1, header.cluster_id)
        + wire::field_size(2, header.member_id)
        + wire::field_size(3, revision.cast_unsigned())
        + wire::field_size(4, header.raft_term)
}

/// Bytes [`put_header`] appends.
pub(super) fn header_len(header: &Header, revision: i64) -> usize {
    wire::len_delimited_size(HEADER, content_len(header, revision))
}

/// Appends a `ResponseHeader` as the first field of a response. Revision 0 is left out, as in the
/// responses about members.
pub(super) fn put_header(buf: &mut BytesMut, header: &Header, revision: i64) {
    wire::put_len_delimited_head(buf, HEADER, content_len(header, revision));
    wire::put_uint64(buf, 1, header.cluster_id);
    wire::put_uint64(buf, 2, header.member_id);
    wire::put_int64(buf, 3, revision);
    wire::put_uint64(buf, 4, header.raft_term);
}

/// The header of an operation inside a transaction: the revision alone.
pub(super) const INNER: Header = Header {
    cluster_id: 0,
    member_id: 0,
    raft_term: 0,
};

/// The header as a message, for responses that are built whole.
pub(super) fn message(header: &Header, revision: i64) -> varve_proto::etcdserverpb::ResponseHeader {
    varve_proto::etcdserverpb::ResponseHeader {
        cluster_id: header.cluster_id,
        member_id: header.member_id,
        revision,
        raft_term: header.raft_term,
    }
}
