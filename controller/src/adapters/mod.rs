//! Where the domain meets the world: kernel, disk, network, clock.
pub mod kernel;
