//! Where the domain meets the world: kernel, disk, network, clock.
pub mod client;
pub mod clock;
pub mod crowdsec;
pub mod fail2ban;
pub mod feeds;
pub mod geoip;
pub mod http;
pub mod kernel;
pub mod logs;
pub mod metrics;
pub mod privacy_key;
pub mod random;
pub mod rules;
pub mod socket_file;
pub mod store;
pub mod system;
pub mod tls;
