//! The face of `discovery` in a library without the feature `mdns`: no node uses mDNS.

use crate::Config;
use crate::driver::engine::Engine;
use crate::driver::os::descriptors::PollFd;
use crate::serf::Counter;
use crate::time::Time;
use std::net::SocketAddr;

/// The state of mDNS, which does not exist.
pub(super) enum Discovery {}

impl Discovery {
    pub fn new(_: &Config, _: &str, _: SocketAddr, _: Time) -> Option<Discovery> {
        None
    }

    pub fn is_intact(&self) -> bool {
        match *self {}
    }

    pub fn poll_entries(&self) -> [PollFd<'_>; 0] {
        match *self {}
    }

    pub fn deadline(&self) -> Option<Time> {
        match *self {}
    }

    pub fn counters(&self) -> [Counter; 0] {
        match *self {}
    }
}

impl Engine {
    pub(in crate::driver::engine) fn discover(&mut self) {}

    pub(in crate::driver::engine) fn receive_discovery(&mut self) {}

    pub(in crate::driver::engine) fn end_discovery(&mut self) {}
}
