//! The typed setters of [`Config`], made from the table of settings.

use super::node_config::Config;
use super::table::settings_table;
use super::types::{Advertise, Profile, TagPair};
use crate::event::{EventKind, Level};
use crate::serf::Mode;
use crate::swim::Seed;
use crate::wire::Key;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Makes the typed setter of each entry of the table.
macro_rules! setters {
    (@setter $name:literal $help:literal $($at:ident).+, $setter:ident $type:ty) => {
        #[doc = $help]
        #[must_use]
        pub fn $setter(self, value: impl Into<$type>) -> Config {
            let value: $type = value.into();
            self.with($name, |settings| settings.$($at).+ = value.into())
        }
    };
    ($(
        $name:literal => $($at:ident).+
        $(: $lan:literal, $wan:literal, $local:literal
          in $min:literal..=$max:literal $unit:literal)?
        $(= $default:expr)?,
        [$setter:ident($type:ty)]
        $help:literal;
    )* + $($others:expr),*) => {
        /// Typed setters, as in `Config::new().name("a")`. A value outside its bounds is reported
        /// by [`Config::check`] and by [`Node::start`](crate::Node::start).
        impl Config {
            $(setters!(@setter $name $help $($at).+, $setter $type);)*
        }
    };
}

settings_table!(setters);
