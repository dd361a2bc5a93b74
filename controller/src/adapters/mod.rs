//! Where the domain meets the world: kernel, disk, network, clock.
pub mod client;
pub mod clock;
pub mod http;
pub mod kernel;
pub mod metrics;
pub mod store;
pub mod system;
