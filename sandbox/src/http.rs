//! A small HTTP/1.1 server that misbehaves on demand.
//!
//! Why not actix-web, which the gateway uses: a stand-in for the cloud must stamp an arrival at the moment when the
//! request head has been read (before the body), and must cut, stall and reset connections at chosen bytes. A
//! framework hides exactly these points. And it is a peer that shares no parser with the gateway's client.
//! It never serves anything but loopback, and makes no claim to be fit for more.

mod connection;
mod reading;
mod reply;

pub(crate) use connection::{Service, serve};
pub(crate) use reading::{Head, Request};
pub(crate) use reply::{Answer, Outcome, Pace, Reply};
