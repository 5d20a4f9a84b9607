//! The assembled Varve server.
