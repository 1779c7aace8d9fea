//! The sandbox over real sockets.

mod support;

mod api;
mod control;
mod downloads;
mod faults;
mod issuer;
mod keys;
mod limit;
mod program;
mod vectors;
