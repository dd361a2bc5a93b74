//! Settings of what counts.
use super::super::parameter::{Field, Slot};
use super::{HOUR, MINUTE};
use crate::domain::http::finding::Response;

/// `unauthorized_access`.
#[derive(Clone, Debug, PartialEq)]
pub struct UnauthorizedAccess {
    /// Whether it runs.
    pub enabled: bool,
    /// How many answers of 401.
    pub threshold: u32,
    /// Length of the window, in seconds.
    pub window_s: u64,
    /// What is done.
    pub response: Response,
    /// Most sources remembered.
    pub max_keys: u32,
}

impl Default for UnauthorizedAccess {
    fn default() -> Self {
        let response = Response::Limit { for_s: HOUR };
        Self { enabled: true, threshold: 5, window_s: HOUR, response, max_keys: 32_768 }
    }
}

impl UnauthorizedAccess {
    pub(super) fn fields(&mut self) -> Vec<Field<'_>> {
        vec![
            Field::enabled(&mut self.enabled),
            Field::threshold("answers of 401", &mut self.threshold),
            Field::window(&mut self.window_s),
            Field::response(&mut self.response),
            Field::max_keys("sources", &mut self.max_keys),
        ]
    }
}

/// `brute_force`.
#[derive(Clone, Debug, PartialEq)]
pub struct BruteForce {
    /// Whether it runs.
    pub enabled: bool,
    /// How many failed sign-ins.
    pub threshold: u32,
    /// Length of the window, in seconds.
    pub window_s: u64,
    /// Parts of a path that make it one to sign in at.
    pub login_paths: Vec<String>,
    /// What is done about a source.
    pub response: Response,
    /// What is done where many sources try one user.
    pub response_user: Response,
    /// Most sources, and most users, remembered.
    pub max_keys: u32,
}

impl Default for BruteForce {
    fn default() -> Self {
        let login_paths = [
            "account-login",
            "auth",
            "authenticate",
            "log-in",
            "login",
            "logon",
            "oauth",
            "session",
            "sessions",
            "sign-in",
            "sign_in",
            "signin",
            "sso",
            "token",
            "user-login",
            "users-sign-in",
            "wp-login",
        ];
        Self {
            enabled: true,
            threshold: 5,
            window_s: 15 * MINUTE,
            login_paths: login_paths.map(str::to_owned).to_vec(),
            response: Response::Deny { for_s: HOUR },
            response_user: Response::Notify,
            max_keys: 32_768,
        }
    }
}

impl BruteForce {
    pub(super) fn fields(&mut self) -> Vec<Field<'_>> {
        vec![
            Field::enabled(&mut self.enabled),
            Field::threshold("failed sign-ins", &mut self.threshold),
            Field::window(&mut self.window_s),
            Field::new(
                "login_paths",
                "parts of a path, without extension and in any case, at which a refused POST is a failed sign-in",
                "",
                Slot::Words(&mut self.login_paths),
            ),
            Field::response(&mut self.response),
            Field::new(
                "response_user",
                "what is done where several sources try one user",
                "",
                Slot::Response(&mut self.response_user),
            ),
            Field::max_keys("sources, and as many users", &mut self.max_keys),
        ]
    }
}

/// `privilege_escalation`.
#[derive(Clone, Debug, PartialEq)]
pub struct PrivilegeEscalation {
    /// Whether it runs.
    pub enabled: bool,
    /// How many denials.
    pub threshold: u32,
    /// Length of the window, in seconds.
    pub window_s: u64,
    /// What is done about a source.
    pub response: Response,
    /// What is done about a user.
    pub response_user: Response,
    /// Most sources, and most users, remembered.
    pub max_keys: u32,
}

impl Default for PrivilegeEscalation {
    fn default() -> Self {
        Self {
            enabled: true,
            threshold: 10,
            window_s: HOUR,
            response: Response::Limit { for_s: HOUR },
            response_user: Response::DenyUser { for_s: 15 * MINUTE },
            max_keys: 32_768,
        }
    }
}

impl PrivilegeEscalation {
    pub(super) fn fields(&mut self) -> Vec<Field<'_>> {
        vec![
            Field::enabled(&mut self.enabled),
            Field::threshold("denials", &mut self.threshold),
            Field::window(&mut self.window_s),
            Field::response(&mut self.response),
            Field::new(
                "response_user",
                "what is done where the user is known",
                "",
                Slot::Response(&mut self.response_user),
            ),
            Field::max_keys("sources, and as many users", &mut self.max_keys),
        ]
    }
}

/// `rate_limit_abuse`.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimitAbuse {
    /// Whether it runs.
    pub enabled: bool,
    /// How many hits.
    pub threshold: u32,
    /// Length of the window, in seconds.
    pub window_s: u64,
    /// What is done.
    pub response: Response,
    /// Most sources, and most API keys and users, remembered.
    pub max_keys: u32,
}

impl Default for RateLimitAbuse {
    fn default() -> Self {
        let response = Response::Limit { for_s: HOUR };
        Self { enabled: true, threshold: 3, window_s: 10 * MINUTE, response, max_keys: 32_768 }
    }
}

impl RateLimitAbuse {
    pub(super) fn fields(&mut self) -> Vec<Field<'_>> {
        vec![
            Field::enabled(&mut self.enabled),
            Field::threshold("hits", &mut self.threshold),
            Field::window(&mut self.window_s),
            Field::response(&mut self.response),
            Field::max_keys("sources, and as many API keys and users", &mut self.max_keys),
        ]
    }
}
