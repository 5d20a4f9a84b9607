//! The whole of `rpc` over connections: real clients against a toy store, and raw HTTP/2.

mod clients;
mod raw;
mod toy;
