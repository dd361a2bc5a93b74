//! Drills: floods with a name, what is measured of them, and what must hold.
//!
//! Frames are made by functions of a seed; what is measured is judged by functions of counts. Sending, counting and the
//! clock are the command's.
pub mod detection;
pub mod dns;
pub mod flood;
pub mod frame;
pub mod latency;
pub mod quote;
pub mod random;
pub mod report;
pub mod scenario;
pub mod settings;
