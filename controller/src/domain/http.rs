//! From what the web layer says to who is denied: lines become events, rules and analyzers find, findings become alerts
//! and responses.
//!
//! Pure: the time is each event's own, or given.
pub mod alert;
pub mod analyzers;
pub mod book;
pub mod client;
pub mod dataset;
pub mod decode;
pub mod denied_users;
pub mod detector;
pub mod event;
pub mod finding;
pub mod follow;
pub mod line;
pub mod recorded;
pub mod redact;
pub mod respond;
pub mod rules;
pub mod severity;
pub mod source;
pub mod submitted;
