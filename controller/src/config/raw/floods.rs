//! Keys of what is held against floods.
use serde::{Deserialize, Serialize};
use weir_common::traffic::Dimension;

/// Sections that hold a limit: its keys, and those that some of them have besides.
macro_rules! limit_sections {
    ($($(#[$meta:meta])* $name:ident { $($key:ident: $type:ty = $default:expr,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(in crate::config) struct $name {
            $(pub(in crate::config) $key: $type,)*
            pub(in crate::config) packets_per_second: u64,
            pub(in crate::config) burst: u64,
            pub(in crate::config) bytes_per_second: u64,
            pub(in crate::config) bytes_burst: u64,
            pub(in crate::config) syn_per_second: u64,
            pub(in crate::config) syn_burst: u64,
            pub(in crate::config) udp_per_second: u64,
            pub(in crate::config) udp_burst: u64,
            pub(in crate::config) icmp_per_second: u64,
            pub(in crate::config) icmp_burst: u64,
            pub(in crate::config) new_per_second: u64,
            pub(in crate::config) new_burst: u64,
            pub(in crate::config) fragments_per_second: u64,
            pub(in crate::config) fragments_burst: u64,
            pub(in crate::config) enforcement: String,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($key: $default,)*
                    packets_per_second: 0,
                    burst: 0,
                    bytes_per_second: 0,
                    bytes_burst: 0,
                    syn_per_second: 0,
                    syn_burst: 0,
                    udp_per_second: 0,
                    udp_burst: 0,
                    icmp_per_second: 0,
                    icmp_burst: 0,
                    new_per_second: 0,
                    new_burst: 0,
                    fragments_per_second: 0,
                    fragments_burst: 0,
                    enforcement: "enforce".to_owned(),
                }
            }
        }

        impl RawRates for $name {
            fn rate(&mut self, dimension: Dimension) -> (&'static str, &'static str, u64, &mut u64) {
                match dimension {
                    Dimension::Packets => ("packets_per_second", "burst", self.packets_per_second, &mut self.burst),
                    Dimension::Bytes => ("bytes_per_second", "bytes_burst", self.bytes_per_second, &mut self.bytes_burst),
                    Dimension::Syn => ("syn_per_second", "syn_burst", self.syn_per_second, &mut self.syn_burst),
                    Dimension::Udp => ("udp_per_second", "udp_burst", self.udp_per_second, &mut self.udp_burst),
                    Dimension::Icmp => ("icmp_per_second", "icmp_burst", self.icmp_per_second, &mut self.icmp_burst),
                    Dimension::New => ("new_per_second", "new_burst", self.new_per_second, &mut self.new_burst),
                    Dimension::Fragments => (
                        "fragments_per_second",
                        "fragments_burst",
                        self.fragments_per_second,
                        &mut self.fragments_burst,
                    ),
                }
            }

            fn enforcement(&self) -> &str {
                &self.enforcement
            }
        }
    )*};
}

/// A section that holds a limit.
pub(in crate::config) trait RawRates {
    /// The keys of a dimension's rate and burst, the rate, and the burst.
    fn rate(&mut self, dimension: Dimension) -> (&'static str, &'static str, u64, &mut u64);
    /// Whether it is carried out.
    fn enforcement(&self) -> &str;
}

limit_sections! {
    /// `[limits.source]`, `[limits.network]`, `[limits.global]` and `[limits.tight]`.
    RawLimit {}
    /// `[[limits.profiles]]`.
    RawProfile {
        name: String = String::new(),
    }
    /// `[[limits.ports]]`.
    RawPortLimit {
        name: String = String::new(),
        protocol: String = "any".to_owned(),
        ports: Vec<String> = Vec::new(),
        per: String = "service".to_owned(),
    }
}

/// `[limits]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawLimits {
    pub(in crate::config) source: RawLimit,
    pub(in crate::config) network: RawLimit,
    pub(in crate::config) global: RawLimit,
    pub(in crate::config) tight: RawLimit,
    pub(in crate::config) profiles: Vec<RawProfile>,
    pub(in crate::config) ports: Vec<RawPortLimit>,
    pub(in crate::config) offenders: RawOffenders,
}

/// `[limits.offenders]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawOffenders {
    pub(in crate::config) deny_after: u64,
    pub(in crate::config) deny_for: String,
    pub(in crate::config) longest: String,
}

impl Default for RawOffenders {
    fn default() -> Self {
        Self { deny_after: 0, deny_for: "1m".to_owned(), longest: "10m".to_owned() }
    }
}

/// `[shape]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawShape {
    pub(in crate::config) transport: String,
}

impl Default for RawShape {
    fn default() -> Self {
        Self { transport: "off".to_owned() }
    }
}

/// `[fragments]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawFragments {
    pub(in crate::config) first: String,
    pub(in crate::config) later: String,
    pub(in crate::config) enforcement: String,
}

impl Default for RawFragments {
    fn default() -> Self {
        Self { first: "pass".to_owned(), later: "pass".to_owned(), enforcement: "enforce".to_owned() }
    }
}

/// `[amplification]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawAmplification {
    pub(in crate::config) enforcement: String,
    pub(in crate::config) uses: Vec<String>,
    pub(in crate::config) ports: Vec<String>,
}

impl Default for RawAmplification {
    fn default() -> Self {
        Self { enforcement: "off".to_owned(), uses: Vec::new(), ports: Vec::new() }
    }
}

/// `[icmp]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawIcmp {
    pub(in crate::config) deny: Vec<String>,
    pub(in crate::config) enforcement: String,
}

impl Default for RawIcmp {
    fn default() -> Self {
        Self { deny: Vec::new(), enforcement: "enforce".to_owned() }
    }
}

/// `[[ports]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawPortRule {
    pub(in crate::config) protocol: String,
    pub(in crate::config) ports: Vec<String>,
    pub(in crate::config) action: String,
    pub(in crate::config) enforcement: String,
    pub(in crate::config) force: bool,
}

impl Default for RawPortRule {
    fn default() -> Self {
        Self {
            protocol: "any".to_owned(),
            ports: Vec::new(),
            action: "deny".to_owned(),
            enforcement: "enforce".to_owned(),
            force: false,
        }
    }
}
