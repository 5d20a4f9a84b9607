//! Integration tests of `varve-proto`, one module per property group.
