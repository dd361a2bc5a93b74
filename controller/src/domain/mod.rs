//! What weir decides, as functions over values: no clock, no files, no kernel, no await.
pub mod crowdsec;
pub mod decision;
pub mod desired;
pub mod duration;
pub mod feed;
pub mod geo;
pub mod guard;
pub mod limits;
pub mod listfile;
pub mod overlay;
pub mod prefixes;
pub mod report;
pub mod resolve;
pub mod special;
pub mod tables;
pub mod time;
pub mod top;
