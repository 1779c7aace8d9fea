//! The gateway as its users meet it: the real program, real sockets, the sandbox as the cloud.

mod harness;

mod edge;
mod failures;
mod load;
mod main_job;
mod process;
mod secrets;
