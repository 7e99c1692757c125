//! Attacks: what somebody would try against the service, and what they get.

mod doors;
mod files;
mod forms;
mod others;
mod real;
mod requests;
mod rotation;
mod secrets;
